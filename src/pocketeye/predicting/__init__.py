"""Use trained networks on images; `evaluation` judges them."""
