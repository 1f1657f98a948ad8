from .blocking import Admin as Admin
from .blocking import ForwardedApp as ForwardedApp
from .blocking import StreamExecute as StreamExecute
from .blocking import StreamPty as StreamPty
from .default_client import open_default_client as open_default_client
