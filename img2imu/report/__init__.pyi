from .figures import draw_timeline as draw_timeline
from .figures import save_png as save_png
from .page import write_report as write_report
