"""The command `list`."""

from __future__ import annotations

import argparse
import json

from mrpro_lambda.cli.command import Add, say, table
from mrpro_lambda.dictionary import list_dictionaries
from mrpro_lambda.pretrained import list_pretrained, pretrained_recipe

_DICTIONARY = 'dictionary '


def add_list(add: Add) -> None:
    """Add the command."""
    command = add('list', _run, 'List the pretrained weights and the dictionaries, or show what is known about one.')
    command.add_argument('name', nargs='?', metavar='NAME', help='weights or dictionary, whose card is shown')
    command.add_argument('--json', action='store_true', help='print the cards as JSON')


def _run(args: argparse.Namespace) -> None:
    """List the pretrained weights and the dictionaries."""
    cards = {name: card | {'good_for': pretrained_recipe(name).good_for()} for name, card in list_pretrained().items()}
    cards |= {f'{_DICTIONARY}{name}': card for name, card in list_dictionaries().items()}
    if args.name is not None:
        key = args.name if args.name in cards else f'{_DICTIONARY}{args.name}'
        if key not in cards:
            raise ValueError(f'There are no weights and no dictionary {args.name!r}; there are {list(cards)}.')
        cards = {key: cards[key]}
    if args.json:
        say(json.dumps(cards, indent=2, ensure_ascii=False))
    elif args.name is not None:
        ((key, card),) = cards.items()
        say('\n  '.join([key, *(f'{field.replace("_", " ") + ":":28} {text}' for field, text in card.items())]))
    else:
        rows = [['name', 'method', 'trained for'], *map(_row, cards, cards.values())]
        say(table(rows))
        say('\nmrpro-lambda list NAME shows all that is known about one.')


def _row(key: str, card: dict[str, str]) -> list[str]:
    """Return name, method and what the weights were trained for, or what a dictionary was learned from."""
    if key.startswith(_DICTIONARY):
        return [key.removeprefix(_DICTIONARY), 'dictionary', card.get('data', '')]
    # the name of weights begins with that of their method
    return [key, key.split('-')[0], card.get('acquisition', card.get('purpose', ''))]
