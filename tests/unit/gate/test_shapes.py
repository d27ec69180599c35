"""Files that are of a kind and yet not quite as it has them: nothing breaks, nothing hides."""

import pytest

from imgverify.gate.find import find

CASES = {
    "services-list": ("compose.yaml", "services: [a, {image: no}]\n", []),
    "service-text": ("compose.yaml", "services: {a: text, b: {image: x}}\n", ["x"]),
    "build-text": ("compose.yaml", "services: {a: {build: ., image: no}}\n", []),
    "build-null": ("compose.yaml", "services: {a: {build: , image: x}}\n", ["x"]),
    "merged-service": (
        "compose.yaml",
        "x: &x {a: {image: x}}\nservices: {<<: *x, b: {image: y}}\n",
        ["x", "y"],
    ),
    "contexts-list": (
        "compose.yaml",
        "services: {a: {build: {additional_contexts: ['b=docker-image://x', 'c=.', [no]]}}}\n",
        ["x"],
    ),
    "inline-folded": (
        "compose.yaml",
        'services: {a: {build: {dockerfile_inline: "FROM x\\nFROM y"}}}\n',
        ["x", "y"],  # both stand at one place, as far as can be told
    ),
    "inline-one-line": (
        "compose.yaml",
        "services: {a: {build: {dockerfile_inline: FROM x}}}\n",
        ["x"],
    ),
    "inline-list": ("compose.yaml", "services: {a: {build: {dockerfile_inline: [no]}}}\n", []),
    "jobs-list": (".github/workflows/a.yml", "on: push\njobs: [no]\n", []),
    "job-text": (".github/workflows/a.yml", "on: push\njobs: {a: no, b: {container: x}}\n", ["x"]),
    "no-on": (".github/workflows/a.yml", "jobs: {a: {container: x}}\n", ["x"]),
    "services-of-a-job": (
        ".github/workflows/a.yml",
        "on: push\njobs: {a: {services: {b: x, c: {image: y}}}, d: {services: [no]}}\n",
        ["x", "y"],
    ),
    "uses-list": (".github/workflows/a.yml", "on: x\njobs: {a: {steps: [{uses: [no]}]}}\n", []),
    "runs-text": ("action.yml", "runs: no\n", []),
    "runs-of-nothing": ("action.yml", "name: x\n", []),
    "reference-to-a-list": (
        ".gitlab-ci.yml",
        ".a: {services: [x, y]}\nb: {services: !reference [.a, services], script: z}\n",
        ["x", "y"],
    ),
    "reference-among-services": (
        ".gitlab-ci.yml",
        ".a: {services: [x]}\nb: {services: [!reference [.a, services], y], script: z}\n",
        ["x", "y"],
    ),
    "reference-to-a-reference": (
        ".gitlab-ci.yml",
        ".a: {image: !reference [.b, image]}\n.b: {image: x}\nc: {image: !reference [.a, image]}\n",
        ["x", "!reference"],
    ),
    "reference-of-nothing": (".gitlab-ci.yml", "a: {image: !reference [[x]]}\n", ["!reference"]),
    "gitlab-list": (".gitlab-ci.yml", "- no\n", []),
    "kustomize-text": ("kustomization.yaml", "images: [no, {newTag: '1'}, {name: [no]}]\n", []),
    "kustomize-suffix": (
        "kustomization.yaml",
        "images: [{name: x, newTag: '1', tagSuffix: -a}, {name: y, newTag: $T}]\n",
        ["x:1-a", "y:$T"],
    ),
    "kustomize-both": (
        "kustomization.yaml",
        f"images: [{{name: x, newTag: '1', digest: 'sha256:{'a' * 64}'}}]\n",
        [f"x:1@sha256:{'a' * 64}"],
    ),
    "object-named-like-a-compose-file": (
        "compose.yaml",
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: x}]}\n",
        ["x"],
    ),
    "containers-text": (
        "x.yaml",
        "apiVersion: v1\nkind: Pod\nspec: {containers: no, volumes: [no, {image: no}]}\nscript: no",
        [],
    ),
    "status": (
        "x.yaml",
        "apiVersion: v1\nkind: Pod\nstatus: {containers: {a: {containers: [{image: no}]}}}\n",
        [],
    ),
    "devcontainer-null": ("devcontainer.json", '{"image": null}', []),
}


@pytest.mark.parametrize(("path", "text", "found"), CASES.values(), ids=CASES)
def test_a_file_that_is_not_quite_as_it_should_be(path: str, text: str, found: list[str]) -> None:
    assert [each.text for each in find(path, text.encode()).mentions] == found
