#include "services/reporting/storage/report_storage.h"

namespace yagura::reporting {

store::Kind ReportKind() {
  return {.area = "reporting",
          .kind = "report",
          .pattern = "tenants/{tenant}/reports/{report}",
          .indexes = {{.name = "by_create_time", .equality = {}, .order = "create_time"},
                      {.name = "by_month", .equality = {}, .order = "month"}}};
}

}  // namespace yagura::reporting
