package docker.authz.path_test

import data.docker.authz.path

test_below[description] if {
	some description, [inner, outer] in {
		"itself": ["/srv", "/srv"],
		"an entry": ["/srv/shop", "/srv"],
		"deeper": ["/srv/shop/data", "/srv"],
		"a root with a slash": ["/srv/shop", "/srv/"],
		"everything": ["/srv", "/"],
		"unknown twice": [null, null],
	}
	path.below(inner, outer)
}

test_not_below[description] if {
	some description, [inner, outer] in {
		"above": ["/srv", "/srv/shop"],
		"beside": ["/srv2", "/srv"],
		"elsewhere": ["/var/srv", "/srv"],
		"an unknown path": [null, "/srv"],
		"an unknown root": ["/srv", null],
		"a number": [1, "/srv"],
	}
	not path.below(inner, outer)
}

test_related[description] if {
	some description, [one, other] in {
		"itself": ["/srv", "/srv"],
		"below": ["/srv/shop", "/srv"],
		"above": ["/srv", "/srv/shop"],
	}
	path.related(one, other)
}

test_not_related[description] if {
	some description, [one, other] in {
		"beside": ["/srv2", "/srv"],
		"unknown": [null, "/srv"],
	}
	not path.related(one, other)
}
