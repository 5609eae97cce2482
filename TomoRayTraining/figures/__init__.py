"""Figures for a paper, from the files of evaluations and training runs alone."""
