"""XML schemas and WSDLs of the interfaces, installed as package data of `xds.schemas`; see README.md."""
