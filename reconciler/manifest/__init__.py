"""Files to desired: loading, schema, rules, normal forms."""
