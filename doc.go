// Package certstate is the vocabulary of the register: one [State] for each
// certificate on each managed device, with how far its revocation has got.
//
// The rooms around it, each importing only those to its left:
//
//	edm ← certstate ← odata, certificate ← store ← api, ingest ← cmd/certstate
//	                                        auth ← api
//	                                               identity    ← cmd/certstate
//
// edm knows the types of single values in all their forms; [Properties] is the
// one table that names every property of the record; odata turns URLs and
// bodies into checked values and back; certificate reads what a certificate says
// of itself; store holds all SQL; auth turns a bearer token into a principal; api
// is the HTTP face, and the only room that knows a status code; identity issues
// tokens for demonstrations and tests; ingest turns files into records.
// ARCHITECTURE.md is the map.
package certstate
