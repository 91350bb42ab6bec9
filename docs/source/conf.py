"""Configuration of the Sphinx documentation builder."""

import os
from importlib.metadata import metadata

project = 'mrpro_lambda'
author = 'The mrpro_lambda developers'
copyright = author
version = release = metadata('mrpro-lambda')['Version']

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.mathjax',
    'sphinx-mathjax-offline',
    'sphinx_autodoc_typehints',
    'sphinx_copybutton',
    'myst_nb',
]

# References to other projects need their inventories from the internet. The build must also work without it, and a
# failed download is a warning, so the references are resolved only on request: MRPRO_LAMBDA_INTERSPHINX=1 make html
if os.environ.get('MRPRO_LAMBDA_INTERSPHINX') == '1':
    extensions.append('sphinx.ext.intersphinx')
intersphinx_mapping = {
    'mrpro': ('https://ptb-mr.github.io/mrpro/', None),
    'torch': ('https://pytorch.org/docs/stable/', None),
    'numpy': ('https://numpy.org/doc/stable/', None),
    'python': ('https://docs.python.org/3', None),
}

default_role = 'py:obj'
templates_path = ['_templates']

autosummary_generate = True
autosummary_imported_members = False
# a package lists what is in its __all__, where that exists, and not the files behind it
autosummary_ignore_module_all = False
autodoc_member_order = 'groupwise'
autodoc_preserve_defaults = True
autodoc_class_signature = 'separated'
napoleon_google_docstring = False
napoleon_use_param = True
napoleon_use_rtype = False
typehints_defaults = 'comma'
typehints_use_signature = True
typehints_use_signature_return = True
typehints_use_rtype = False
typehints_document_rtype = False
suppress_warnings = [
    'ref.citation',  # several docstrings list the same reference
    'config.cache',  # functions in the configuration of myst_nb
]

myst_enable_extensions = ['amsmath', 'deflist', 'dollarmath']
myst_heading_anchors = 3
nb_execution_mode = 'off'

html_theme = 'sphinx_rtd_theme'
html_title = project
html_static_path = ['_static']
html_show_sphinx = False
html_show_sourcelink = False
html_theme_options = {'collapse_navigation': False, 'navigation_depth': -1}


def setup(app):
    """Leave out the generated constructors of named tuples, whose fields are listed anyway."""
    app.connect('autodoc-skip-member', lambda app, what, name, *_: True if name == '__new__' else None)
