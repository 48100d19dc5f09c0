"""Only what pyproject.toml cannot say: the C extension is built by cffi."""

from setuptools import setup

setup(cffi_modules=["device_model/build_core.py:ffi"])
