package docker.authz.path_test

import data.docker.authz.path

test_below[description] if {
	some description, [inner, outer, inside] in {
		"itself": ["/srv", "/srv", "/srv/"],
		"an entry": ["/srv/shop", "/srv", "/srv/"],
		"deeper": ["/srv/shop/data", "/srv", "/srv/"],
		"everything": ["/srv", "/", "/"],
		"unknown twice": [null, null, null],
	}
	path.below(inner, outer, inside)
}

test_not_below[description] if {
	some description, [inner, outer, inside] in {
		"above": ["/srv", "/srv/shop", "/srv/shop/"],
		"beside": ["/srv2", "/srv", "/srv/"],
		"elsewhere": ["/var/srv", "/srv", "/srv/"],
		"an unknown path": [null, "/srv", "/srv/"],
		"an unknown root": ["/srv", null, null],
		"a number": [1, "/srv", "/srv/"],
	}
	not path.below(inner, outer, inside)
}

test_related[description] if {
	some description, [one, places] in {
		"itself": ["/srv", {"/srv/"}],
		"below": ["/srv/shop", {"/srv/"}],
		"above": ["/srv", {"/srv/shop/"}],
		"above several": ["/srv", {"/srv/shop/", "/srv/till/"}],
		"the root": ["/", {"/", "/srv/"}],
		"below the root": ["/srv", {"/"}],
		"a beginning": ["/srv/shop-1", {"/srv/shop-"}],
		"above a beginning": ["/srv", {"/srv/shop-"}],
		"a slash at the end": ["/srv/", {"/srv/"}],
	}
	path.related(one, places | {"other"}) == places
}

test_not_related[description] if {
	some description, [one, place] in {
		"beside": ["/srv2", "/srv/"],
		"beside a beginning": ["/srv/shop", "/srv/shop-"],
		"unknown": [null, "/srv/"],
	}
	path.related(one, [place]) == set()
}

test_name[description] if {
	some description, [place, name] in {
		"a folder": ["/srv/", "/srv"],
		"everything": ["/", "/"],
		"a beginning": ["/srv/shop-", "/srv/shop-"],
	}
	path.name(place) == name
}
