package api

import (
	"certstate"
	"certstate/csdl"
	"certstate/edm"
	"certstate/odata"
)

// structure is a type of what is no record, as $metadata and the OpenAPI document
// have it.
type structure struct {
	name       string // qualified
	schema     string // its name in the OpenAPI document
	key        string // "": it is a complex type
	properties []property
}

// Qualified names, in the words of Graph's CSDL where it has them.
const (
	managementType = graphAlias + "." + singleton
	reportsType    = graphAlias + ".deviceManagementReports"
	exportJobType  = graphAlias + ".deviceManagementExportJob"
	sessionType    = graphAlias + ".uploadSession"
	ownType        = ownNamespace + ".service"
	importJobType  = ownNamespace + ".importJob"
	rejectType     = ownNamespace + ".reject"
	sourceType     = ownNamespace + ".source"
	gapType        = ownNamespace + ".gap"
)

var structures = []structure{
	{managementType, "", entityKey, nil},
	{reportsType, "", entityKey, nil},
	{exportJobType, "exportJob", entityKey, properties(exportMembers)},
	{sessionType, "uploadSession", "", properties(sessionMembers)},
	{ownType, "", entityKey, nil},
	{importJobType, "importJob", entityKey, properties(importMembers)},
	{rejectType, "reject", "", properties(rejectMembers)},
	{sourceType, "source", entityKey, properties(sourceMembers)},
	{gapType, "gap", "serialNumber", properties(gapMembers)},
}

// entityKey is the key of all that derives from Graph's entity.
const entityKey = "id"

// single is a part of the service of which a tenant has one.
type single struct {
	pattern string // of its route
	typ     string
	context string // below $metadata
}

var singletons = []single{
	{singleton, managementType, singleton},
	{reports, reportsType, reports + "/$entity"},
	{own, ownType, own},
}

// atRoot are those that the service document lists.
func atRoot() (list []single) {
	for _, s := range singletons {
		if s.context == s.pattern {
			list = append(list, s)
		}
	}
	return list
}

// contained is a resource within another: a navigation property.
type contained struct {
	owner   string // type
	name    string
	typ     csdl.Type
	doc     string
	pattern string // of its routes; those of its members have a key after it
}

var navigation = []contained{
	{managementType, odata.Collection, many(aliased(certstate.TypeName)), "Summary of all certificates for all devices.", collection},
	{managementType, odata.Reports, csdl.Type{Name: reportsType, Nullable: true}, "", reports},
	{reportsType, odata.ExportJobs, many(exportJobType), "Entity representing a job to export a report.", exportJobs},
	{ownType, odata.OwnImportJobs, many(importJobType), "Jobs that bring a file in that is uploaded to their uploadUrl.", importJobs},
	{ownType, odata.Sources, many(sourceType), "Authorities that tell the register of what they issue.", sources},
	{sourceType, "gaps", many(gapType), "Certificates that a source should have told of, and did not.", gaps},
}

// many is a collection of entities.
func many(name string) csdl.Type { return csdl.Type{Name: name, Collection: true, Nullable: true} }

// navigations are the navigation properties of a type.
func navigations(owner string) (list []csdl.Navigation) {
	for _, n := range navigation {
		if n.owner == owner {
			list = append(list, csdl.Navigation{Name: n.name, Type: n.typ, Contained: true})
		}
	}
	return list
}

// Enumerations of Intune's reports.
var (
	reportStatus = &edm.EnumType{Name: graphNamespace + ".deviceManagementReportStatus", Members: []string{"unknown", notStarted, inProgress, completed, failed}}
	reportFormat = &edm.EnumType{Name: graphNamespace + ".deviceManagementReportFileFormat", Members: []string{"csv", "pdf", "json", "unknownFutureValue"}}
	reportWords  = &edm.EnumType{Name: graphNamespace + ".deviceManagementExportJobLocalizationType", Members: localizations}
)

var enumerations = []*edm.EnumType{certstate.RevokeStatusType, reportStatus, reportFormat, reportWords, certstate.FindingsType}
