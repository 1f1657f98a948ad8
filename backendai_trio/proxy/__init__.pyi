from .server import Proxy as Proxy
from .server import ProxyOptions as ProxyOptions
from .server import open_proxy as open_proxy
from .server import serve_proxy as serve_proxy
