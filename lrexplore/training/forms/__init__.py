"""Networks that train in another form than factor pairs: products of more tensors, and most weights zero."""
