"""Texts of denials, and the secrets that must not stay in them."""

from __future__ import annotations

import time

import pytest

from authz_plugin.decision import Denial
from authz_plugin.journal.masking import masked, masked_text


@pytest.mark.parametrize(
    "text",
    [
        "building from https://alice:S3CRET@git.example/repo is not allowed",
        "building from https://S3CRET@git.example/repo is not allowed",
        "building from https://alice:S3@CRET@git.example/repo is not allowed",
        "building from https://alice:S3/CRET@git.example/repo is not allowed",
        "option o=addr=10.0.0.1,username=u,password=S3CRET is not allowed",
        "option PASSWD=S3CRET is not allowed",
        "building from https://x.example/a?access_token=S3CRET&b=1",
        "log option splunk-token=S3CRET",
        "Authorization: api_key = S3CRET",
        "join with SWMTKN-1-S3CRET-S3CRET is not allowed",
        "unlock with SWMKEY-1-S3CRET+/ is not allowed",
        "label basicauth.users=admin:$apr1$S3CRET$S3CRET/ is reserved",
        "user:$2y$05$S3CRET",
        "user:$argon2id$v=19$S3CRET",
    ],
)
def test_a_secret_that_shows_by_its_form_is_masked(text: str) -> None:
    assert "S3CRET" not in masked_text(text)
    assert "***" in masked_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "bind mount of /etc is not allowed",
        "capability SYS_ADMIN is not allowed",
        "image docker.io/library/alpine:3 is not allowed",
        "building from https://git.example/repo.git#main:dir is not allowed",
        "label team=core is missing",
        "user 1000:1000 is not allowed",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.parametrize(
    "field",
    [
        "Env[0]",
        "TaskTemplate.ContainerSpec.Env[3]",
        "query.buildargs",
        "header.x-registry-auth",
        "headers.authorization",
        "JoinToken",
        "Data",
        "Spec.CAConfig.SigningCAKey",
    ],
)
def test_what_a_custom_rule_quotes_of_a_secret_field_is_masked(field: str) -> None:
    denial = Denial("custom.x", field, "NAME=S3CRET", "NAME=S3CRET is bad: S3CRET", "not S3CRET")
    assert "S3CRET" not in masked(denial).message + masked(denial).hint


def test_values_of_other_fields_stay_in_the_message() -> None:
    denial = Denial("mounts.source", "HostConfig.Binds[0]", "/etc", "bind mount of /etc", "")
    assert masked(denial) == denial


def test_nobody_can_hide_a_mount_by_repeating_it_in_the_environment() -> None:
    """Masking goes by field, not by searching texts for whatever stands in secret ones."""
    denial = Denial("mounts.source", "HostConfig.Binds[0]", "/etc", "bind mount of /etc", "")
    assert "/etc" in masked(denial).message


@pytest.mark.parametrize(
    "part", ["a", "a-", "http", "://", "a://b:", "key=", "key =  ", "SWMTKN-", "@", "$1$"]
)
def test_a_long_text_takes_no_longer_than_its_length(part: str) -> None:
    """What a client writes is masked while others wait."""
    began = time.perf_counter()
    masked_text(f"{part * (20_000 // len(part))}=@SWM")
    assert time.perf_counter() - began < 2
