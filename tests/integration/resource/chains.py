"""Whether a log of revisions is whole: every revision begins with what the one before it left."""

from typing import Any

from sutler.resource.v1 import resource_pb2 as pb


async def history(resources: Any) -> list[pb.ResourceRevision]:
    """All revisions of a tenant, the oldest first."""
    found: list[pb.ResourceRevision] = []
    request = pb.ListResourceRevisionsRequest(recursive=True, page_size=1000)
    more = True
    while more:
        page = await resources.ListResourceRevisions(request)
        found += page.resource_revisions
        request.page_token = page.next_page_token
        more = bool(page.next_page_token)
    return found[::-1]


def follow(revisions: list[pb.ResourceRevision]) -> dict[str, pb.Resource]:
    """What is there after all revisions, by key; there must be no gap, neither in numbers nor in what they say."""
    assert [revision.revision for revision in revisions] == list(range(1, len(revisions) + 1))
    now: dict[str, pb.Resource] = {}
    for revision in revisions:
        name = revision.resource.lower()
        assert steady(revision.before) == steady(now.get(name, pb.Resource()))
        if revision.HasField("after"):
            now[name] = revision.after
        else:
            del now[name]
    return now


def steady(resource: pb.Resource) -> pb.Resource:
    """A resource without what changes without a revision: what is used of a quota."""
    if resource.type != "Sutler.Resource/quotas":
        return resource
    found = pb.Resource()
    found.CopyFrom(resource)
    found.ClearField("outputs")
    return found
