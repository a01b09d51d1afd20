"""How does a comparison become one HTML file that needs neither server nor network?"""

from seq2seq.compare.report.page import write_report as write_report
