module opa-authz/oracle/routers

go 1.24
