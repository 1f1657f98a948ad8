from .companion import open_gateway_process as open_gateway_process
from .faults import Faults as Faults
from .limits import GatewayLimits as GatewayLimits
from .server import Gateway as Gateway
from .server import serve_gateway as serve_gateway
from .settings import Account as Account
from .settings import stored_config as stored_config
