package csdl_test

import (
	"testing"

	"certstate/csdl"
)

// document has one of everything.
var document = csdl.Document{
	References: []csdl.Reference{{URL: "https://voc.example/V1", Namespace: "V1"}},
	Schemas: []csdl.Schema{{
		Namespace: "example.fleet", Alias: "f",
		Enums: []csdl.Enum{{Name: "color", Members: []csdl.EnumMember{{Name: "red"}, {Name: "blue", Value: 1}}},
			{Name: "extras", Flags: true, Members: []csdl.EnumMember{{Name: "none"}, {Name: "roof", Value: 1}, {Name: "tow", Value: 2}}}},
		Types: []csdl.Structured{
			{Name: "thing", Abstract: true, Key: []string{"id"}, Properties: []csdl.Property{{Name: "id", Type: csdl.Type{Name: "Edm.String"}}}},
			{Name: "car", Base: "f.thing", Properties: []csdl.Property{
				{Name: "color", Type: csdl.Type{Name: "f.color"}},
				{Name: "made", Type: csdl.Type{Name: "Edm.DateTimeOffset", Nullable: true}, Precision: 7},
			}, Navigation: []csdl.Navigation{{Name: "wheels", Type: csdl.Type{Name: "f.thing", Collection: true, Nullable: true}, Contained: true}}},
			{Name: "trip", Complex: true},
		},
		Functions: []csdl.Function{{Name: "trips", Parameters: []csdl.Parameter{{Name: "it", Type: csdl.Type{Name: "f.car"}}},
			Result: csdl.Type{Name: "f.trip", Collection: true}}},
		Container: &csdl.Container{Name: "Service", Singletons: []csdl.Parameter{{Name: "first", Type: csdl.Type{Name: "f.car"}}}},
		Annotations: []csdl.Annotated{{Target: "f.car/wheels", Annotations: []csdl.Annotation{
			{Term: "V1.Flag", Value: false},
			{Term: "V1.List", Value: []any{"a<b", csdl.Path("id"), csdl.Record{{Name: "How", Value: csdl.Member("V1.Way/fast")}}}},
			{Term: "V1.None", Value: []any{}},
			{Term: "V1.Nothing", Value: ""},
		}}},
	}},
}

func TestXML(t *testing.T) {
	b, err := document.XML()
	if err != nil {
		t.Fatal(err)
	}
	check(t, string(b), `<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
  <edmx:Reference Uri="https://voc.example/V1.xml">
    <edmx:Include Namespace="V1"></edmx:Include>
  </edmx:Reference>
  <edmx:DataServices>
    <Schema Namespace="example.fleet" Alias="f" xmlns="http://docs.oasis-open.org/odata/ns/edm">
      <EnumType Name="color">
        <Member Name="red" Value="0"></Member>
        <Member Name="blue" Value="1"></Member>
      </EnumType>
      <EnumType Name="extras" IsFlags="true">
        <Member Name="none" Value="0"></Member>
        <Member Name="roof" Value="1"></Member>
        <Member Name="tow" Value="2"></Member>
      </EnumType>
      <EntityType Name="thing" Abstract="true">
        <Key>
          <PropertyRef Name="id"></PropertyRef>
        </Key>
        <Property Name="id" Type="Edm.String" Nullable="false"></Property>
      </EntityType>
      <EntityType Name="car" BaseType="f.thing">
        <Property Name="color" Type="f.color" Nullable="false"></Property>
        <Property Name="made" Type="Edm.DateTimeOffset" Precision="7"></Property>
        <NavigationProperty Name="wheels" Type="Collection(f.thing)" ContainsTarget="true"></NavigationProperty>
      </EntityType>
      <ComplexType Name="trip"></ComplexType>
      <Function Name="trips" IsBound="true">
        <Parameter Name="it" Type="f.car" Nullable="false"></Parameter>
        <ReturnType Type="Collection(f.trip)" Nullable="false"></ReturnType>
      </Function>
      <EntityContainer Name="Service">
        <Singleton Name="first" Type="f.car"></Singleton>
      </EntityContainer>
      <Annotations Target="f.car/wheels">
        <Annotation Term="V1.Flag" Bool="false"></Annotation>
        <Annotation Term="V1.List">
          <Collection>
            <String>a&lt;b</String>
            <PropertyPath>id</PropertyPath>
            <Record>
              <PropertyValue Property="How" EnumMember="V1.Way/fast"></PropertyValue>
            </Record>
          </Collection>
        </Annotation>
        <Annotation Term="V1.None">
          <Collection></Collection>
        </Annotation>
        <Annotation Term="V1.Nothing">
          <String></String>
        </Annotation>
      </Annotations>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>`)
}

func TestJSON(t *testing.T) {
	b, err := document.JSON()
	if err != nil {
		t.Fatal(err)
	}
	check(t, string(b), `{
  "$EntityContainer": "example.fleet.Service",
  "$Reference": {
    "https://voc.example/V1.json": {
      "$Include": [
        {
          "$Namespace": "V1"
        }
      ]
    }
  },
  "$Version": "4.0",
  "example.fleet": {
    "$Alias": "f",
    "$Annotations": {
      "f.car/wheels": {
        "@V1.Flag": false,
        "@V1.List": [
          "a\u003cb",
          "id",
          {
            "How": "fast"
          }
        ],
        "@V1.None": [],
        "@V1.Nothing": ""
      }
    },
    "Service": {
      "$Kind": "EntityContainer",
      "first": {
        "$Type": "f.car"
      }
    },
    "car": {
      "$BaseType": "f.thing",
      "$Kind": "EntityType",
      "color": {
        "$Type": "f.color"
      },
      "made": {
        "$Nullable": true,
        "$Precision": 7,
        "$Type": "Edm.DateTimeOffset"
      },
      "wheels": {
        "$Collection": true,
        "$ContainsTarget": true,
        "$Kind": "NavigationProperty",
        "$Type": "f.thing"
      }
    },
    "color": {
      "$Kind": "EnumType",
      "blue": 1,
      "red": 0
    },
    "extras": {
      "$IsFlags": true,
      "$Kind": "EnumType",
      "none": 0,
      "roof": 1,
      "tow": 2
    },
    "thing": {
      "$Abstract": true,
      "$Key": [
        "id"
      ],
      "$Kind": "EntityType",
      "id": {}
    },
    "trip": {
      "$Kind": "ComplexType"
    },
    "trips": [
      {
        "$IsBound": true,
        "$Kind": "Function",
        "$Parameter": [
          {
            "$Name": "it",
            "$Type": "f.car"
          }
        ],
        "$ReturnType": {
          "$Collection": true,
          "$Type": "f.trip"
        }
      }
    ]
  }
}`)
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
