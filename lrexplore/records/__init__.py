"""Records of runs: one folder a run, appended by one writer and read by many, also while it runs."""

from lrexplore.records.handle import Run, start
from lrexplore.records.layout import STREAMS, VERSION
from lrexplore.records.pairs import intervals, outcomes
from lrexplore.records.reader import Reader
from lrexplore.records.table import read, runs
from lrexplore.records.writer import Writer
