#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "services/detection/domain/observation/baseline.h"
#include "yagura/archive/v1/hourly_measures.pb.h"
#include "yagura/detection/v1/observation.pb.h"
#include "yagura/event/v1/event.pb.h"

// What the measures of fixed-point observation are.
namespace yagura::detection {

// One way to ask the archive who brought a number about.
struct ContributorQuestion {
  std::string field;  // the path that groups
  std::string
      aggregate;  // "": events are counted; "bytes_out": its sum; else distinct values of it
};

struct MeasureFacts {
  v1::Measure measure;
  Spread spread;
  double least_excess;       // so much more or fewer at least is worth a word
  event::v1::Severity more;  // severity where there is far more
  std::string_view noun;     // "denied connections"
  std::string_view filter;   // events that count, in the grammar of the archive
  uint64_t (archive::v1::HourlyMeasures::*value)() const;
  std::vector<ContributorQuestion> contributors;
};

// All of them, in order.
const std::vector<MeasureFacts>& AllMeasures();
// Null where there is no such measure.
const MeasureFacts* FactsOf(v1::Measure measure);

// A text as a quoted value of a filter, whatever is in it.
std::string FilterValue(std::string_view text);
// "12,345", "3.4 GiB".
std::string AmountText(v1::Measure measure, double amount);

}  // namespace yagura::detection
