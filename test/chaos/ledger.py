# SPDX-License-Identifier: Apache-2.0
"""The ledger: mails that can be told apart and checked, and the account of what became of them in Kafka."""
import hashlib
import json
import random
from collections import Counter, namedtuple
from dataclasses import dataclass, field

WORDS = ("invoice", "total", "señal", "entrega", "Größe", "naïve", "漢字", "😀", "PO-2026-00417", "EUR 17.25",
         "https://contoso.example/a?b=c", "<tag>", "&amp;", "\"quoted\"", "back\\slash", "100%")
BIG_MAIL_CHANCE = 0.02
SMALL_WORDS, BIG_WORDS = (5, 300), (3000, 12000)

Identity = namedtuple("Identity", "mailbox conversation sequence")


def write_text(identity, rng):
    """A mail's text: who it is in the first line, words, and in the last line the SHA-256 of all before it."""
    count = rng.randint(*(BIG_WORDS if rng.random() < BIG_MAIL_CHANCE else SMALL_WORDS))
    words = rng.choices(WORDS, k=count)
    lines = [" ".join(words[i:i + 12]) for i in range(0, count, 12)]
    text = "\n".join([f"ledger {identity.mailbox} {identity.conversation} {identity.sequence}", *lines])
    return f"{text}\nsha256 {hashlib.sha256(text.encode()).hexdigest()}"


def read_text(text):
    """(identity, whether the hash is right); (None, False) where it is no text of ours."""
    body, _, last = text.rpartition("\n")
    words = body.partition("\n")[0].split(" ")
    if len(words) != 4 or words[0] != "ledger" or not words[3].isdigit():
        return None, False
    identity = Identity(words[1], words[2], int(words[3]))
    return identity, last == f"sha256 {hashlib.sha256(body.encode()).hexdigest()}"


def write_message(identity, rng):
    """A mail as Microsoft Graph gives it."""
    name = f"{identity.conversation}.{identity.sequence}"
    when = f"2026-03-03T{identity.sequence // 3600 % 24:02}:{identity.sequence // 60 % 60:02}:" \
           f"{identity.sequence % 60:02}Z"
    return {
        "id": name, "changeKey": "1", "conversationId": identity.conversation,
        "internetMessageId": f"<{name}@fabrikam.example>", "subject": name,
        "createdDateTime": when, "lastModifiedDateTime": when, "receivedDateTime": when,
        "from": {"emailAddress": {"name": "Purchasing", "address": "purchasing@fabrikam.example"}},
        "body": {"contentType": "text", "content": write_text(identity, rng)},
    }


def read_record(value):
    """As read_text(), of a record of any of the topics: a document, an entities record, or a dead Graph message."""
    try:
        record = json.loads(value)
        text = record["text"] if "text" in record else record["body"]["content"]
    except (ValueError, KeyError, TypeError):
        return None, False
    return read_text(text) if isinstance(text, str) else (None, False)


class Author:
    """Makes up mails: the next of a conversation picked at random. One seed, the same mails."""

    def __init__(self, seed, mailboxes=6, conversations=5):
        self.rng = random.Random(f"author {seed}")
        self.threads = [(f"box{box}@contoso.example", f"conv-{box}-{number}")
                        for box in range(mailboxes) for number in range(conversations)]
        self.mailboxes = sorted({mailbox for mailbox, _ in self.threads})
        self.next = Counter()

    def mail(self, thread=None):
        """(identity, the message as Graph gives it); `thread` is one of `threads`, else any."""
        mailbox, conversation = thread or self.rng.choice(self.threads)
        identity = Identity(mailbox, conversation, self.next[conversation])
        self.next[conversation] += 1
        return identity, write_message(identity, self.rng)


@dataclass
class Log:
    """What an independent reader found in one topic, each in the order of the log: (partition, offset, value)."""
    committed: list
    uncommitted: list = field(default_factory=list)

    @property
    def aborted(self):
        """How many records there are that belong to aborted transactions."""
        return len(self.uncommitted) - len({(r[0], r[1]) for r in self.committed} & {(r[0], r[1])
                                                                                      for r in self.uncommitted})


@dataclass
class Account:
    issued: int = 0
    committed: int = 0
    lost: int = 0
    duplicated: int = 0
    corrupt: int = 0
    misordered: int = 0
    aborted_seen: int = 0
    aborted: int = 0
    dead: int = 0
    details: list = field(default_factory=list)

    FORBIDDEN = ("lost", "duplicated", "corrupt", "misordered", "aborted_seen")

    @property
    def sound(self):
        return not any(getattr(self, name) for name in self.FORBIDDEN)

    def blame(self, what, *about):
        setattr(self, what, getattr(self, what) + 1)
        self.details.append(f"{what}: {' '.join(map(str, about))}")


def _identities(account, topic, records):
    """Identities of the records of a topic, with their places; what cannot be read or trusted is corrupt."""
    found = []
    for partition, offset, value in records:
        identity, right = read_record(value)
        if not right:
            account.blame("corrupt", topic, f"{partition}/{offset}", identity, value[:120])
        if identity:
            found.append((identity, partition, offset))
    return found


def _check_once(account, topic, found):
    places = {}
    for identity, partition, offset in found:
        if identity in places:
            account.blame("duplicated", topic, identity, "at", places[identity], "and", f"{partition}/{offset}")
        else:
            places[identity] = f"{partition}/{offset}"
    return places


def _check_order(account, topic, found):
    """In the log, the mails of one conversation stand in one partition and in sequence."""
    last = {}
    for identity, partition, offset in sorted(found, key=lambda item: item[1:]):
        before = last.get(identity.conversation)
        if before and (before[0] != partition or before[1] > identity.sequence):
            account.blame("misordered", topic, identity, f"at {partition}/{offset}, after", before)
        last[identity.conversation] = (partition, identity.sequence)


def take_account(issued, documents, entities, dead, seen=()):
    """The account of a run. `issued`: identities; the next three: Logs; `seen`: (topic name, partition, offset) of all
    that a reader of committed records saw while the run went on, topics being "documents", "entities", "dead"."""
    account = Account(issued=len(issued), aborted=documents.aborted + entities.aborted + dead.aborted)
    places = {}
    for name, log in (("documents", documents), ("entities", entities), ("dead", dead)):
        found = _identities(account, name, log.committed)
        places[name] = _check_once(account, name, found)
        if name != "dead":
            _check_order(account, name, found)
        kept = {(partition, offset) for partition, offset, _ in log.committed}
        for topic, partition, offset in seen:
            if topic == name and (partition, offset) not in kept:
                account.blame("aborted_seen", name, f"{partition}/{offset} was read, and is not committed")
    account.committed, account.dead = len(places["entities"]), len(places["dead"])
    known = set(issued)
    for name, what in places.items():
        for identity in set(what) - known:
            account.blame("corrupt", name, identity, "was never issued")
    for identity in known - set(places["entities"]) - set(places["dead"]):
        account.blame("lost", identity, "is a document" if identity in places["documents"] else "is no document")
    for identity in set(places["entities"]) & set(places["dead"]):
        account.blame("duplicated", identity, "has entities and is a dead letter")
    for identity in set(places["entities"]) - set(places["documents"]):
        account.blame("aborted_seen", identity, "has entities, but no committed document")
    return account


COLUMNS = ("fault", "times", "issued", "committed", "lost", "duplicated", "corrupt", "misordered", "aborted seen",
           "aborted", "dead", "RSS MiB", "first s", "all s", "handles", "seed")


def table(rows):
    """The rows (dicts by COLUMNS) as one Markdown table, its columns aligned."""
    cells = [list(COLUMNS), *([str(row.get(name, "")) for name in COLUMNS] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    lines = ["| " + " | ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(line, widths))) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) if i == 0 else "-" * (width + 1) + ":"
                                   for i, width in enumerate(widths)) + "|")
    return "\n".join(lines)
