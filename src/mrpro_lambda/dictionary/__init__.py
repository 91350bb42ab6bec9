"""Convolutional dictionaries: how they are learned, compared and stored."""

from mrpro_lambda.dictionary.coding_objective import coding_objective
from mrpro_lambda.dictionary.Dictionary import Dictionary, list_dictionaries, load_dictionary, save_dictionary
from mrpro_lambda.dictionary.learn_dictionary import learn_dictionary
from mrpro_lambda.dictionary.sparse_codes import high_pass, sparse_codes

__all__ = [
    "Dictionary",
    "coding_objective",
    "high_pass",
    "learn_dictionary",
    "list_dictionaries",
    "load_dictionary",
    "save_dictionary",
    "sparse_codes",
]
