"""PyGithub's writes, as if they were done: pygithub_writes.py BASE_URL; prints what each came to."""
import sys

import github

api = github.Github("token", base_url=sys.argv[1], retry=None)
repository = api.get_repo("weir/weir")
issue = repository.create_issue("a title", body="text", labels=["bug"])
print("issue", issue.number, issue.state)
print("comment", issue.create_comment("text").id)
issue.edit(state="closed")
issue.add_to_labels("bug")
issue.remove_from_labels("bug")
issue.lock("resolved")
print("label", repository.create_label("bug", "ff0000").name)
print("pull", repository.create_pull(title="t", body="b", head="a", base="main").number)
made = repository.create_file("a/b.txt", "message", "content")
print("file", made["content"].path, made["commit"].sha[:4])
print("updated", repository.update_file("a/b.txt", "message", "content", "0" * 40)["commit"].sha[:4])
print("deleted", repository.delete_file("a/b.txt", "message", "0" * 40)["commit"].sha[:4])
print("ref", repository.create_git_ref("refs/heads/x", "0" * 40).ref)
print("release", repository.create_git_release("v1", "v1", "text").tag_name)
repository.edit(description="text")
api.get_user().add_to_starred(repository)
print("gist", api.get_user().create_gist(False, {"a.txt": github.InputFileContent("x")}).id)
repository.delete()
