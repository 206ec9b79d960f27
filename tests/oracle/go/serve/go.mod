module opa-authz/oracle/serve

go 1.24
