"""Handle files of data sets: listing, names, archives, remote stores, decoding, caching, splits."""
