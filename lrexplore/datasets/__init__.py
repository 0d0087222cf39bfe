"""Labelled images to train on, as batches that depend on nothing but what is asked for."""

from lrexplore.datasets.batch import Batch, Request, normalize
from lrexplore.datasets.data import Data, open_data, own_data
from lrexplore.datasets.fashion import fashion_mnist
from lrexplore.datasets.folder import FolderImages
from lrexplore.datasets.labelled import LabelledImages
from lrexplore.datasets.shards import Shards
from lrexplore.datasets.split import epoch_order, held_out_split
from lrexplore.datasets.tensor_images import TensorImages
