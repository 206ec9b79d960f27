package docker.authz.pattern_test

import data.docker.authz.pattern

test_fits[name] if {
	some name, [patterns, value] in {
		"any text": [["*"], "anything/at:all"],
		"the empty text": [["*"], ""],
		"the same text": [["app"], "app"],
		"a beginning": [["registry.example/*"], "registry.example/team/app:1"],
		"a whole beginning": [["app*"], "app"],
		"a beginning with two jokers": [["a*c*"], "abcd"],
		"a beginning with a joker of one character": [["a?c*"], "abcd"],
		"an end": [["*sshd"], "/usr/sbin/sshd"],
		"the second pattern": [["no", "a*c"], "abc"],
	}
	pattern.fits(patterns, value)
}

test_does_not_fit[name] if {
	some name, [patterns, value] in {
		"no pattern": [[], "app"],
		"another text": [["app"], "app2"],
		"a longer text": [["a*c"], "abcd"],
		"another beginning": [["app*"], "an app"],
		"no character for a joker": [["a?c*"], "ac"],
		"a dot is no joker": [["a.c*"], "abc"],
		"no text": [["*"], null],
		"no text for a beginning": [["app*"], null],
		"no text between": [["a*c"], 1],
		"no patterns": [null, "app"],
		"a pattern as the value": [["app"], "*"],
	}
	not pattern.fits(patterns, value)
}
