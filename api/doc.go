// Package api is the HTTP face of the register: one door through which every
// request passes (server.go), one table of routes (routes.go), handlers that
// return errors, and one table that turns errors into statuses (error.go).
package api
