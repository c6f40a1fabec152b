package clients

import (
	_ "github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	_ "github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	_ "github.com/hashicorp/go-azure-sdk/microsoft-graph/devicemanagement/beta/deviceconfigurationsallmanageddevicecertificatestate"
	_ "github.com/microsoftgraph/msgraph-beta-sdk-go"
	_ "github.com/microsoftgraph/msgraph-sdk-go-core"
)
