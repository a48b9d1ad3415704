"""PyGithub against an API of GitHub's shape: pygithub.py BASE_URL; prints the numbers and titles of a repository's issues."""
import sys

import github

api = github.Github("token", base_url=sys.argv[1], per_page=2, retry=None)
repository = api.get_repo("weir/weir")
for issue in repository.get_issues():          # page after page, by the Link field
    issue.update()                             # asks the URL that its body gave
    print(issue.number, issue.title)
