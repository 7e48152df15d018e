"""Tests that every model service has to pass, as a pytest plugin.

pytest --pyargs service_conformance --model-service=iris.model:Iris
"""
