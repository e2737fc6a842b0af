"""Read images with one label each: folders, parquet, WebDataset shards."""
