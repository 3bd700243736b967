"""A mailbox in a whole gateway: real IMAP and SMTP servers, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import email.policy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from portico.agents.runtime import AgentRuntime, Final
from portico.auth.model import Principal
from portico.channels.accounts import store as account_store
from portico.channels.accounts.supervisor import Supervisor
from portico.channels.model import Peer, ReplyRoute
from portico.outbox.life import DeliveryState
from portico.protocol.scopes import Role, expand
from portico.rpc.call import Call
from tests.fakes.imap_rogue import Rogue
from tests.support.house import ALL_SCOPES
from tests.support.http import House, Scripted, house, settings
from tests.support.mail import AGENT, PASSWORD, PEOPLE, Post, body_of, post_office
from tests.support.waiting import eventually

PNG = b"\x89PNG\r\n\x1a\n not really"
ANN = f"ann@{PEOPLE}"


@asynccontextmanager
async def mailbox(
    home: Path,
    post: Post,
    *,
    runtime: AgentRuntime | None = None,
    state: str = "connected",
    trusted: tuple[str, ...] = (),
    **account: Any,
) -> AsyncIterator[House]:
    open_to_all = {"dmPolicy": "open", "allowFrom": ["*"]}
    kept = {**open_to_all, **post.settings(), **account}
    config = settings(channels={"email": kept}, tools={"trusted": trusted})
    async with house(home / "state", config, runtime=runtime) as gateway:
        await eventually(lambda: account_of(gateway).state.value == state)
        yield gateway


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    async with post_office(tmp_path / "mail") as office:
        yield office


def account_of(gateway: House) -> Supervisor:
    found = gateway.gateway.path.accounts.find("email", "default")
    assert found is not None
    return found


def operator() -> Call:
    return Call(
        Principal(
            role=Role.OPERATOR,
            granted=ALL_SCOPES,
            scopes=expand(frozenset(ALL_SCOPES)),
            method="internal",
            subject="test",
        )
    )


async def answers(post: Post, count: int) -> list[EmailMessage]:
    await eventually(lambda: len(post.smtp.taken) >= count)
    assert len(post.smtp.taken) == count
    return post.smtp.taken


async def events(gateway: House) -> list[Any]:
    found = await gateway.gateway.ground.store.read(account_store.list_events, channel="email")
    return [row.event for row in found]


async def reasons(gateway: House) -> set[str]:
    return {event.data["reason"] for event in await events(gateway)}


async def until_reason(gateway: House, *wanted: str) -> None:
    async def are_there() -> bool:
        found = await reasons(gateway)
        return all(any(word in reason for reason in found) for word in wanted)

    await eventually(are_there)


async def send(gateway: House, to: str, text: str, **more: Any) -> str:
    route = ReplyRoute("email", "default", Peer("direct", to), **more)
    return await gateway.gateway.path.outbox.send(route, text, media=(), session_key=None)


async def settled(gateway: House, delivery_id: str, state: DeliveryState) -> Any:
    async def find() -> Any:
        found = await gateway.gateway.path.outbox.find(delivery_id)
        return found if found is not None and found.state is state else None

    return await eventually(find)


# -- a conversation --------------------------------------------------------------------------------


async def test_a_mail_is_answered_in_its_thread(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post, name="Portico"):
        key = await post.deliver(post.mail("hello", Subject="Grüße"))
        (answer,) = await answers(post, 1)
        assert body_of(answer) == "Echo: Subject: Grüße\n\nhello"
        assert answer["To"] == ANN
        assert answer["From"] == f"Portico <{AGENT}>"
        assert answer["Subject"] == "Re: Grüße"
        assert answer["In-Reply-To"] == answer["References"] == f"<m1.ann@{PEOPLE}>"
        assert answer["Auto-Submitted"] == "auto-replied"
        assert answer["Message-ID"].endswith(".portico@portico.example>")
        assert answer["Date"]
        assert "<p>" in body_of(answer, "html")
        await eventually(lambda: post.is_acknowledged(key))


async def test_one_session_per_thread_or_per_sender(tmp_path: Path, post: Post) -> None:
    class Noting(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.turns: list[Any] = []

        async def run(self, turn: Any) -> AsyncIterator[Any]:
            self.turns.append(turn)
            async for event in super().run(turn):
                yield event

    runtime = Noting()
    async with mailbox(tmp_path, post, runtime=runtime):
        await post.deliver(post.mail("one"))
        (first,) = await answers(post, 1)
        ours = first["Message-ID"]
        thread = {"In_Reply_To": ours, "References": f"<m1.ann@{PEOPLE}> {ours}"}
        await post.deliver(post.mail("two", **thread))
        await answers(post, 2)
        await post.deliver(post.mail("other"))
        await answers(post, 3)
        same, again, other = [turn.session_key for turn in runtime.turns]
        assert same == again != other
        assert f"m1.ann@{PEOPLE}" in same
    runtime.turns.clear()
    async with mailbox(tmp_path, post, runtime=runtime, sessions="sender"):
        await post.deliver(post.mail("four"))
        await post.deliver(post.mail("five"))
        await answers(post, 5)
        one, two = [turn.session_key for turn in runtime.turns]
        assert one == two
        assert "thread" not in one


async def test_a_reply_is_read_without_its_history(tmp_path: Path, post: Post) -> None:
    runtime = Scripted()
    async with mailbox(tmp_path, post, runtime=runtime):
        await post.deliver(post.mail("one"))
        (first,) = await answers(post, 1)
        quoted = "Yes, please.\n\nOn Monday, Portico wrote:\n> done\n> done\n\n-- \nAnn\n"
        await post.deliver(post.mail(quoted, In_Reply_To=first["Message-ID"]))
        await post.deliver(
            post.mail(f"See below.\n\n{quoted}", In_Reply_To="<x@elsewhere.example>")
        )
        await answers(post, 3)
        assert runtime.seen[1].text == "Yes, please."
        assert "> done" in runtime.seen[2].text  # somebody else's thread: that is what it is about


async def test_html_mail_files_and_pictures(tmp_path: Path, post: Post) -> None:
    runtime = Scripted(Final("**done** <script>alert(1)</script>"))
    async with mailbox(tmp_path, post, runtime=runtime, mediaMaxMb=1, attachmentsMax=3):
        mail = EmailMessage(policy=email.policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = ANN, AGENT, "Files"
        mail.set_content("<p>Look <b>here</b></p><img src='cid:cat'>", subtype="html")
        mail.add_related(PNG, "image", "png", cid="<cat>", filename="cat.png")
        mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="../a:b.pdf")
        mail.add_attachment(b"x" * 1_500_000, maintype="video", subtype="mp4", filename="v.mp4")
        mail.add_attachment(b"four", maintype="text", subtype="csv", filename="4.csv")
        await post.deliver(mail.as_bytes())
        (answer,) = await answers(post, 1)
        (seen,) = runtime.seen
        assert seen.text.startswith("Subject: Files\n\nLook **here**")
        files = {a.file_name: a for a in seen.attachments}
        assert [*files] == ["cat.png", "a_b.pdf", "v.mp4", "4.csv"]
        assert files["cat.png"].read() == PNG
        assert files["cat.png"].type == "image"
        assert files["v.mp4"].content is None
        assert files["v.mp4"].size_bytes == 1_500_000
        assert files["4.csv"].content is None  # the fourth
        assert "<strong>done</strong>" in body_of(answer, "html")
        assert "<script>" not in body_of(answer, "html")


async def test_files_go_out_as_attachments(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post) as gateway:
        url = "data:image/png;base64," + base64.b64encode(PNG).decode()
        route = ReplyRoute("email", "default", Peer("direct", ANN))
        await gateway.gateway.path.outbox.send(
            route, "see", media=(url, "http://127.0.0.1:1/x.png"), session_key=None
        )
        (mail,) = await answers(post, 1)
        (file,) = mail.iter_attachments()
        assert (file.get_content_type(), file.get_content()) == ("image/png", PNG)
        assert "a file is missing" in body_of(mail)
        assert mail["Subject"] == "Message from your assistant"
        assert mail["Auto-Submitted"] == "auto-generated"


# -- who -------------------------------------------------------------------------------------------


async def test_a_stranger_gets_a_code_by_mail(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post, dmPolicy="pairing", allowFrom=[f"Ann@{PEOPLE.upper()}"]):
        await post.deliver(post.mail("hello", sender="Ann"))
        await post.deliver(post.mail("hello", sender="eve"))
        mails = await answers(post, 2)
        said = {mail["To"]: body_of(mail) for mail in mails}
        assert said[f"Ann@{PEOPLE}"] == "Echo: hello"
        assert "code" in said[f"eve@{PEOPLE}"]


async def test_a_sender_that_fails_its_proof_is_refused_and_an_unproven_one_is_a_stranger(
    tmp_path: Path, post: Post
) -> None:
    runtime = Scripted()
    who: dict[str, Any] = {"dmPolicy": "allowlist", "allowFrom": [ANN]}
    who["trusted"] = (f"email:{ANN}",)

    def mail(text: str, said: str | None) -> bytes:
        return post.mail(text, Authentication_Results=said)

    async with mailbox(tmp_path, post, runtime=runtime, **who) as gateway:
        await post.deliver(mail("forged", f"mx.example; dmarc=fail header.from={PEOPLE}"))
        await post.deliver(mail("nobody knows", None))
        await post.deliver(mail("says so itself", f"mx.example; dmarc=pass header.from={PEOPLE}"))
        await answers(post, 2)
        assert [(one.text, one.is_untrusted) for one in runtime.seen] == [
            ("nobody knows", True),
            ("says so itself", True),
        ]
        await until_reason(gateway, "mx.example says that dmarc failed")
    runtime.seen.clear()
    proving: dict[str, Any] = {"authservId": "mx.example", "unproven": "refuse"}
    async with mailbox(tmp_path, post, runtime=runtime, **who, **proving) as gateway:
        await post.deliver(mail("proven", f"mx.example; dkim=pass header.d={PEOPLE}"))
        await post.deliver(mail("another server", f"evil.example; dmarc=pass header.from={PEOPLE}"))
        await post.deliver(mail("another domain", "mx.example; dkim=pass header.d=evil.example"))
        await answers(post, 3)
        await until_reason(gateway, "mx.example does not prove")
        assert [(one.text, one.is_untrusted) for one in runtime.seen] == [("proven", False)]


async def test_an_unproven_mail_that_is_let_in_later_stays_unproven(
    tmp_path: Path, post: Post
) -> None:
    runtime = Scripted()
    shut: dict[str, Any] = {"dmPolicy": "allowlist", "allowFrom": [f"bob@{PEOPLE}"]}
    trusted = (f"email:{ANN}",)
    async with mailbox(tmp_path, post, runtime=runtime, trusted=trusted, **shut) as gateway:
        await post.say("do it")

        async def refused() -> Any:
            call = gateway.gateway.front.dispatcher.request
            return (await call("inbox.list", b'{"state": "refused"}', operator())).messages

        (message,) = await eventually(refused)
        body = json.dumps({"messageId": message.message_id}).encode()
        await gateway.gateway.front.dispatcher.request("inbox.retry", body, operator())
        await answers(post, 1)
        assert [one.is_untrusted for one in runtime.seen] == [True]


async def test_what_no_person_wrote_is_recorded_and_never_answered(
    tmp_path: Path, post: Post
) -> None:
    async with mailbox(tmp_path, post, name="P", aliases=["help@portico.example"]) as gateway:
        for headers in (
            {"Auto_Submitted": "auto-generated"},
            {"Precedence": "bulk"},
            {"List_Id": "<l.example>"},
            {"X_Auto_Response_Suppress": "OOF, AutoReply"},
            {"Return_Path": "<>"},
            {"From": "MAILER-DAEMON@people.example"},
            {"From": AGENT},
            {"From": "help@portico.example"},
            {"Message_ID": "<dlv_1.portico@portico.example>"},
            {"From": f"{ANN}, eve@{PEOPLE}"},
            {"From": f'"{ANN}" <eve@{PEOPLE}> <{ANN}>'},
            {"To": "somebody@people.example", "Cc": AGENT},
        ):
            await post.deliver(post.mail("hello", **headers))
        key = await post.say("a person")
        (answer,) = await answers(post, 1)
        assert body_of(answer) == "Echo: a person"
        await eventually(lambda: post.is_acknowledged(key))
        found = await reasons(gateway)
        assert len(await events(gateway)) == 12
        assert {
            "it was sent automatically (auto-generated)",
            "it was sent to many (Precedence)",
            "it comes from a mailing list",
            "it wants no automatic answer",
            "it has no return path",
            "its sender takes no answers",
            "it comes from our own address",
            "it is our own mail",
            "its From does not name one sender",
            "it was only copied to us (Cc)",
        } == found
        assert all((await post.imap.seen()).values())


async def test_two_programs_do_not_answer_each_other_for_ever(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post, answersPerHour=3) as gateway:
        for number in range(5):
            await post.deliver(post.mail(f"rude robot {number}"))
            await answers(post, min(3, number + 1))
        await until_reason(gateway, "got 3 answers within an hour")
        await post.say("somebody else", sender="bob")
        await answers(post, 4)


async def test_a_bounce_says_which_delivery_it_is_about(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post) as gateway:
        delivery_id = await send(gateway, ANN, "hello")
        (mail,) = await answers(post, 1)
        report = (
            "From: Mail Delivery <mailer-daemon@people.example>\r\nTo: {to}\r\n"
            "Message-ID: <b1@people.example>\r\nAuto-Submitted: auto-replied\r\n"
            'Content-Type: multipart/report; report-type=delivery-status; boundary="B"\r\n\r\n'
            "--B\r\nContent-Type: text/plain\r\n\r\nNo such user.\r\n"
            "--B\r\nContent-Type: message/delivery-status\r\n\r\n"
            "Reporting-MTA: dns; people.example\r\n\r\nFinal-Recipient: rfc822; {ann}\r\n"
            "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 No such user\r\n\r\n"
            "--B\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {id}\r\n\r\n--B--\r\n"
        ).format(to=AGENT, ann=ANN, id=mail["Message-ID"])
        await post.imap.put(report.encode())
        await until_reason(gateway, "a mail of ours could not be delivered")
        (event,) = await events(gateway)
        assert (event.kind, event.target_id) == ("bounce", mail["Message-ID"])
        assert event.data["deliveryId"] == delivery_id
        assert event.data["status"] == "5.1.1"
        assert event.data["recipient"] == ANN
        assert event.data["diagnosis"] == "550 No such user"
        assert len(post.smtp.taken) == 1
        failed = await settled(gateway, delivery_id, DeliveryState.FAILED)
        assert "550 No such user" in failed.last_error


# -- the mailbox -----------------------------------------------------------------------------------


async def test_old_mail_is_passed_over_at_the_first_start_or_taken_when_unread(
    tmp_path: Path, post: Post
) -> None:
    await post.deliver(post.mail("old and read"), seen=True)
    await post.deliver(post.mail("old and unread"))
    async with mailbox(tmp_path, post):
        await post.say("new")
        (answer,) = await answers(post, 1)
        assert body_of(answer) == "Echo: new"
    assert [*(await post.imap.seen()).values()] == [True, False, True]
    async with mailbox(tmp_path / "second", post, firstStart="unseen"):
        await post.say("newer")
        _, *rest = await answers(post, 3)
        assert [body_of(mail) for mail in rest] == ["Echo: old and unread", "Echo: newer"]


async def test_a_mailbox_that_is_numbered_anew_is_not_answered_again(
    tmp_path: Path, post: Post
) -> None:
    await post.imap.add_folder("Work")
    ago = datetime.now(UTC) - timedelta(days=30)
    old = [post.mail(f"old {number}") for number in range(3)]
    for raw in old:
        await post.imap.put(raw, folder="Work", at=ago)
    async with mailbox(tmp_path, post, folder="Work"):
        one = post.mail("one")
        await post.imap.put(one, folder="Work")
        await answers(post, 1)
    await post.imap.remove_folder("Work")
    await post.imap.add_folder("Work")
    for raw in old:
        await post.imap.put(raw, folder="Work", at=ago)
    await post.imap.put(one, folder="Work")
    await post.imap.put(post.mail("came in between"), folder="Work")
    async with mailbox(tmp_path, post, folder="Work") as gateway:
        await answers(post, 2)
        await post.imap.put(post.mail("later"), folder="Work")
        mails = await answers(post, 3)
        assert [body_of(m) for m in mails[1:]] == ["Echo: came in between", "Echo: later"]
        await until_reason(gateway, "numbered its mail anew")


async def test_mail_is_put_away_as_asked(tmp_path: Path, post: Post) -> None:
    moving: dict[str, Any] = {"moveTo": "Done/Über", "markSeen": False}
    async with mailbox(tmp_path, post, **moving):
        await post.say("hello")
        await answers(post, 1)
        await eventually(lambda: _is_in(post, "Done/Über"))
        assert [*(await post.imap.seen("Done/Über")).values()] == [False]


async def _is_in(post: Post, folder: str) -> bool:
    try:
        return bool(await post.imap.seen(folder))
    except KeyError:
        return False


async def test_a_mail_too_large_is_read_as_far_as_it_is_fetched(tmp_path: Path, post: Post) -> None:
    runtime = Scripted()
    async with mailbox(tmp_path, post, runtime=runtime, messageMaxMb=0.01):
        mail = EmailMessage(policy=email.policy.SMTP)
        mail["From"], mail["To"] = ANN, AGENT
        mail.set_content("in short")
        mail.add_attachment(b"x" * 100_000, maintype="video", subtype="mp4", filename="v.mp4")
        await post.deliver(mail.as_bytes())
        await post.say("next")
        await answers(post, 2)
        assert runtime.seen[0].text == "in short\n\n[only the beginning of this mail was fetched]"
        assert runtime.seen[0].attachments == ()


async def test_a_server_without_idle_is_polled(tmp_path: Path) -> None:
    async with post_office(tmp_path / "mail", imap_tls="none", smtp_tls="none") as post:
        post.wire.change = lambda data: data.replace(b" IDLE", b" ILLE")
        async with mailbox(tmp_path, post, pollSeconds=1):
            await post.say("hello")
            await answers(post, 1)


async def test_starttls_both_ways(tmp_path: Path) -> None:
    async with (
        post_office(tmp_path / "mail", imap_tls="starttls", smtp_tls="starttls") as post,
        mailbox(tmp_path, post),
    ):
        await post.say("hello")
        await answers(post, 1)


async def test_a_server_without_starttls_never_sees_the_password(tmp_path: Path) -> None:
    async with post_office(tmp_path / "mail", imap_tls="starttls", smtp_tls="starttls") as post:
        sent: list[bytes] = []

        def change(data: bytes) -> bytes:
            sent.append(data)
            return data.replace(b"OK Ready", b"NO Never").replace(b"STARTTLS", b"STOPTTLS")

        post.wire.change = change
        post.imap._config._tls_enabled = False  # it refuses the command
        async with mailbox(tmp_path, post, state="waiting") as gateway:
            assert "STARTTLS" in (account_of(gateway).error or "")


async def test_a_certificate_nobody_vouches_for_is_not_accepted(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post, tlsCaFile=None, state="waiting") as gateway:
        assert "certificate" in (account_of(gateway).error or "").lower()


# -- sending ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "state", "error"),
    [
        ("552 5.3.4 Too big", DeliveryState.FAILED, "552"),
        ("535 5.7.8 Who are you?", DeliveryState.FAILED, "login"),
        ("451 4.7.1 Greylisted", DeliveryState.RETRY, "451"),
        ("421 4.3.2 Closing", DeliveryState.RETRY, "421"),
        ("cut", DeliveryState.RETRY, "Transient"),
    ],
)
async def test_what_the_server_answers_decides(
    tmp_path: Path, post: Post, answer: str, state: DeliveryState, error: str
) -> None:
    async with mailbox(tmp_path, post) as gateway:
        post.smtp.answers.append(answer)
        delivery = await settled(gateway, await send(gateway, ANN, "x"), state)
        assert error in delivery.last_error


async def test_what_cannot_be_sent_is_refused_before(tmp_path: Path, post: Post) -> None:
    post.smtp.max_bytes = 2_000
    async with mailbox(tmp_path, post) as gateway:
        for to, text in ((ANN, "x" * 3_000), ("ann", "x"), (f"a@b\r\nBcc: {ANN}", "x")):
            await settled(gateway, await send(gateway, to, text), DeliveryState.FAILED)
        assert post.smtp.attempts == 0


async def test_headers_cannot_be_injected(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post) as gateway:
        context = {
            "subject": "hi\r\nBcc: eve@people.example\n\nbody",
            "messageId": "<a@b>\r\nBcc: eve@people.example",
            "references": ["<c@d>", "<e@f>\nX: y", 7],
        }
        await send(gateway, ANN, "hello", context=context)
        (mail,) = await answers(post, 1)
        assert mail["Bcc"] is None
        assert mail["X"] is None
        assert mail["Subject"] == "Re: hi Bcc: eve@people.example body"
        assert mail["References"] == "<c@d>"
        assert post.smtp.recipients == [[ANN]]


async def test_dots_and_long_lines_arrive_as_they_are(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post) as gateway:
        text = ".\n..\nGrüße\n" + "long " * 400
        await send(gateway, ANN, f"```\n{text}\n```")
        (mail,) = await answers(post, 1)
        assert body_of(mail) == text.strip()
        assert max(map(len, post.smtp.raw[0].split(b"\r\n"))) < 998


async def test_a_token_serves_in_place_of_a_password(tmp_path: Path, post: Post) -> None:
    capable = b"* CAPABILITY IMAP4rev1 IDLE AUTH=XOAUTH2\r\n{tag} OK done\r\n"
    post.smtp.password = "ya29.token"
    async with Rogue(CAPABILITY=capable, AUTHENTICATE=b"+ \r\n", DONE=b"{tag} OK in\r\n") as imap:
        given: dict[str, Any] = {"password": None, "accessToken": "ya29.token"}
        given |= {"imapPort": imap.port, "imapTls": "none"}
        async with mailbox(tmp_path, post, **given) as gateway:
            delivery_id = await send(gateway, ANN, "hello")
            await settled(gateway, delivery_id, DeliveryState.SENT)
            said = base64.b64encode(f"user={AGENT}\1auth=Bearer ya29.token\1\1".encode())
            assert said in imap.heard
            post.smtp.password = "renewed"
            await settled(gateway, await send(gateway, ANN, "x"), DeliveryState.FAILED)


async def test_where_nobody_can_forge_the_sender_may_be_believed(
    tmp_path: Path, post: Post
) -> None:
    runtime = Scripted()
    trusted = (f"email:{ANN}",)
    async with mailbox(tmp_path, post, runtime=runtime, trusted=trusted, unproven="trust"):
        await post.say("hello")
        await post.deliver(post.mail("forged", Authentication_Results="mx; dmarc=fail"))
        await post.deliver(post.mail("a copy", To=f"bob@{PEOPLE}", Cc=AGENT))
        await post.say("the end")
        await answers(post, 2)
        assert [one.is_untrusted for one in runtime.seen] == [False, False]


async def test_a_copy_is_answered_when_that_is_asked_for(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post, answerCc=True):
        await post.deliver(post.mail("a copy", To=f"bob@{PEOPLE}", Cc=AGENT))
        await answers(post, 1)
        assert post.smtp.recipients == [[ANN]]


async def test_the_password_is_in_no_log_and_a_refused_one_waits_for_a_person(
    tmp_path: Path, post: Post, capsys: pytest.CaptureFixture[str], caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    await post.imap.set_password("something else")
    async with mailbox(tmp_path, post, state="login") as gateway:
        assert "does not accept the login" in (account_of(gateway).error or "")
        secret = base64.b64encode(f"\0{AGENT}\0{PASSWORD}".encode()).decode()
        said = "".join(capsys.readouterr()) + str(account_of(gateway).error)
        said += "".join(
            record.getMessage()
            for record in caplog.records
            if not record.name.startswith(("mail", "pymap"))  # the servers' own
        )
        assert PASSWORD not in said
        assert secret not in said


async def test_a_probe_asks_the_smtp_server(tmp_path: Path, post: Post) -> None:
    async with mailbox(tmp_path, post) as gateway:
        live: Any = account_of(gateway).live
        assert await live.probe() == {"ok": True, "smtp": {"maxBytes": post.smtp.max_bytes}}
        post.smtp.password = "another"
        assert (await live.probe())["ok"] is False
        await asyncio.sleep(0)
