#include "services/detection/domain/engine/field_mapping.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/text.h"

namespace yagura::detection {
namespace {

struct OtherName {
  std::string_view field;  // of Sigma's taxonomy, lower case
  std::string_view other;  // an original field, or "@" and a core name
};

constexpr std::array kWeb = {
    OtherName{"c-uri", "request"},
    OtherName{"c-uri-query", "@url"},
    OtherName{"c-useragent", "agent"},
    OtherName{"c-useragent", "user_agent"},
    OtherName{"cs-cookie", "cookie"},
    OtherName{"cs-host", "host"},
    OtherName{"cs-host", "vhost"},
    OtherName{"cs-method", "http_method"},
    OtherName{"cs-method", "method"},
    OtherName{"cs-method", "verb"},
    OtherName{"cs-referer", "referer"},
    OtherName{"cs-referer", "referrer"},
    OtherName{"cs-uri", "@url"},
    OtherName{"cs-uri-query", "@url"},
    OtherName{"cs-uri-stem", "@url"},
    OtherName{"cs-user-agent", "agent"},
    OtherName{"cs-user-agent", "user_agent"},
    OtherName{"r-dns", "vhost"},
    OtherName{"sc-status", "response"},
    OtherName{"sc-status", "status"},
    OtherName{"sc-status", "status_code"},
};
constexpr std::array kDns = {
    OtherName{"answer", "answers"},
    OtherName{"query", "@url"},
    OtherName{"record_type", "qtype_name"},
    OtherName{"record_type", "query_type"},
};
constexpr std::array kAntivirus = {
    OtherName{"filename", "Path"},     OtherName{"filename", "file_name"},
    OtherName{"filename", "filename"}, OtherName{"signature", "Threat Name"},
    OtherName{"signature", "virus"},
};

template <size_t n>
std::vector<std::string_view> NamesIn(const std::array<OtherName, n>& table,
                                      const std::string& field) {
  std::vector<std::string_view> names;
  for (const OtherName& one : table) {
    if (EqualsIgnoreCase(one.field, field) && one.other != field) names.push_back(one.other);
  }
  return names;
}

std::vector<std::string_view> OtherNames(const Logsource& logsource, const std::string& field) {
  if (EqualsIgnoreCase(logsource.category, "webserver") ||
      EqualsIgnoreCase(logsource.category, "proxy")) {
    return NamesIn(kWeb, field);
  }
  if (EqualsIgnoreCase(logsource.category, "dns")) return NamesIn(kDns, field);
  if (EqualsIgnoreCase(logsource.category, "antivirus")) return NamesIn(kAntivirus, field);
  return {};
}

}  // namespace

void MapFields(const Logsource& logsource, Expression& condition) {
  for (auto& child : condition.children) MapFields(logsource, child);
  if (condition.type != Expression::Type::kMatch && condition.type != Expression::Type::kExists) {
    return;
  }
  const auto names = OtherNames(logsource, condition.field);
  if (names.empty()) return;
  Expression any;
  any.type = Expression::Type::kOr;
  any.children.push_back(condition);
  for (const auto name : names) {
    any.children.push_back(condition);
    any.children.back().field = name;
  }
  condition = std::move(any);
}

}  // namespace yagura::detection
