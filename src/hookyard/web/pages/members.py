"""Members of the workspace, one's own account, and the first workspace of a new installation."""

from __future__ import annotations

from starlette.responses import Response

from hookyard.core.errors import ConflictError, InvalidError, NotAllowedError, Problem, UnauthenticatedError
from hookyard.web import sessions
from hookyard.web.pages.page_context import PageContext


async def members_page(visit: PageContext) -> Response:
    """Show the members of the workspace; administrators add and remove them."""
    if visit.request.method == "GET":
        return await _members(visit, ())
    form = await visit.form()
    assert visit.session is not None
    visit.session.principal.require()
    try:
        if form.text("do") == "remove":
            await visit.services.members.remove(visit.workspace, form.text("id"), visit.actor)
            return visit.redirect(visit.path("members"), "member_left")
        key = form.text("id")
        accounts = {account.id: account for account in await visit.services.accounts.list(limit=500)}
        name = accounts[key].name if key in accounts else form.text("name")  # type: ignore[index]
        await visit.services.members.add(visit.workspace, key, name, visit.actor)
    except (InvalidError, ConflictError) as error:
        problems = error.problems if isinstance(error, InvalidError) else ()
        return await _members(visit, problems or (Problem("id", error.what),))
    return visit.redirect(visit.path("members"), "member_joined")


async def _members(visit: PageContext, problems: tuple[Problem, ...]) -> Response:
    members = await visit.services.members.list(visit.workspace, limit=500)
    known = {member.user_id for member in members}
    accounts = await visit.services.accounts.list(limit=500) if visit.member.is_admin else []
    return await visit.page(
        "members.html", 422 if problems else 200, members=members, problems=problems,
        accounts=[account for account in accounts if account.id not in known], roles={a.id: a for a in accounts},
    )  # fmt: skip


async def account_page(visit: PageContext) -> Response:
    """Show the reader's own account: a new password, sign out."""
    problems: tuple[Problem, ...] = ()
    if visit.request.method == "POST":
        form = await visit.form()
        new = form.raw("new")
        try:
            _same(new, form.raw("again"))
            await visit.services.accounts.set_password(visit.member.id, new, current=form.raw("current"))
            # All sessions have ended with the old password; this browser gets a new one.
            secret = await visit.services.accounts.open_session(visit.member.id)
        except InvalidError as error:
            problems = tuple(Problem("again" if p.field == "again" else "new", p.message) for p in error.problems)
            problems = problems or (Problem("new", error.what),)
        except UnauthenticatedError as error:
            problems = (Problem("current", error.what),)
        else:
            response = visit.redirect(visit.path("account"), "password_changed")
            sessions.keep(visit.request, response, secret)
            return response
    return await visit.page("account.html", 422 if problems else 200, problems=problems)


def _same(new: str, again: str) -> None:
    if new != again:
        raise InvalidError("the two differ", problems=(Problem("again", "differs from the new password"),))


async def make_first_workspace(visit: PageContext) -> Response:
    """Create the first workspace for an administrator who has none to go to."""
    form = await visit.form()
    if not visit.member.is_admin:
        raise NotAllowedError("only administrators make workspaces")
    made = await visit.services.workspaces.create(form.text("name"))
    visit.workspace_id = made.id
    await visit.services.members.add(made.id, visit.member.id, visit.member.name, visit.actor)
    return visit.redirect(visit.path("tasks"), "workspace_made")
