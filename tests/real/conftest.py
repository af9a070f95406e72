"""Makes the helpers importable from wherever pytest is called."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
