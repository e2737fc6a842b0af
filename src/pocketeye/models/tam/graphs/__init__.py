"""The tracker as graphs of static shapes, without branches: what an exporter writes.

Each is a module made of a :class:`pocketeye.models.TAM`, with the same outputs up to rounding. Maps
travel between them as rows of channels (*tokens*), so that nothing is transposed on the way. What
depends on a decision (which mask, whether the object is there, how many maps there are) is left to
the host, and so are sums over few numbers: the solution of the target model's 65 equations.
"""

from pocketeye.models.tam.graphs.decode import DecodeGraph as DecodeGraph
from pocketeye.models.tam.graphs.image import ImageGraph as ImageGraph
from pocketeye.models.tam.graphs.prompt import PromptGraph as PromptGraph
from pocketeye.models.tam.graphs.read import PlaceGraph as PlaceGraph, ReadGraph as ReadGraph
from pocketeye.models.tam.graphs.write import WriteGraph as WriteGraph
