"""Decodes with pyiso8583 what the test wrote, and encodes it again. Standard input and output are JSON."""

import json
import sys

import iso8583

asked = json.load(sys.stdin)
spec = asked["spec"]
answers = []
for message in asked["messages"]:
    decoded, _ = iso8583.decode(bytes.fromhex(message["hex"]), spec)
    fields = {key: value for key, value in decoded.items() if key not in ("p", "1", "65")}
    again, _ = iso8583.encode(dict(fields), spec)
    theirs, _ = iso8583.encode(dict(message["fields"]), spec)
    answers.append({"fields": fields, "again": again.hex().upper(), "theirs": theirs.hex().upper()})
json.dump(answers, sys.stdout)
