"""The tables and figures of the paper's Section 4, trained again on a dataset at hand."""
