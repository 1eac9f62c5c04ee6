"""A mail server for tests: tells on standard output, a JSON object a line, its port and every message it takes.

Arguments: how the connection is kept private (tls, starttls, off), certificate, key. Who sends has to sign on as
"posgate" with "a good password" where there is TLS. "nobody@" is refused for good, "later@" the first time.
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

security, certificate, key = sys.argv[1:4]


def tell(what):
    print(json.dumps(what), flush=True)


class Handler:
    tried = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later@"):
            Handler.tried += 1
            if Handler.tried == 1:
                return "451 4.7.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        tell({
            "to": envelope.rcpt_tos,
            "from": envelope.mail_from,
            "subject": message["subject"],
            "id": message["message-id"],
            "text": message.get_content(),
            "is_known": session.authenticated,
        })
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"posgate", b"a good password"))


async def main():
    context = None
    if security != "off":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)

    def factory():
        return SMTP(
            Handler(),
            hostname="localhost",
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            auth_required=security != "off",
            auth_require_tls=security == "starttls",
            authenticator=authenticator,
        )

    implicit = context if security == "tls" else None
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=implicit)
    tell({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
