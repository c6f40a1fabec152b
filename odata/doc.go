// Package odata is the dialect: URLs into checked queries, bodies into states
// and back. It knows no SQL and no net/http.
//
// Where Graph and the OData standard differ, Graph's documented behaviour is
// followed; docs/graph-differences.md lists what is different from both.
package odata
