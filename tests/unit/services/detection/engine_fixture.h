#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "common/event/batch_codec.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::detection::testing {

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

inline event::v1::Event MakeEvent(Fields fields) {
  event::v1::Event event;
  std::string raw;
  for (const auto& [name, value] : fields) {
    auto* field = event.add_fields();
    field->set_name(std::string(name));
    field->set_value(std::string(value));
    raw += std::string(name) + "=\"" + std::string(value) + "\" ";
  }
  event.set_raw(raw);
  event.set_product("acme.box");
  return event;
}

inline event::BatchReader BatchOf(const std::vector<event::v1::Event>& events,
                                  std::string_view tenant = "acme") {
  event::BatchBuilder builder(
      {std::string(tenant), event::BatchIdOf({"test"}), TimePoint(std::chrono::seconds(1))});
  for (const auto& event : events) builder.Add(event);
  auto reader = event::BatchReader::Open(builder.Finish());
  EXPECT_TRUE(reader.ok()) << reader.status();
  return std::move(*reader);
}

// A rule of product "acme" around a detection block, whose lines are indented by two spaces.
inline std::string RuleWith(std::string_view detection) {
  return "title: Test rule\n"
         "id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n"
         "logsource:\n"
         "  product: acme\n"
         "detection:\n" +
         std::string(detection) + "\nlevel: high\n";
}

// Rows that the only rule of the text matches.
inline std::vector<uint32_t> RowsOf(const std::string& text,
                                    const std::vector<event::v1::Event>& events,
                                    const Placeholders& placeholders = {}) {
  auto parsed = ParseSigma(text, placeholders);
  EXPECT_TRUE(parsed.ok()) << parsed.status() << "\n" << text;
  if (!parsed.ok()) return {9999};
  BatchMatcher matcher(
      RuleSet::Build({{"", std::make_shared<const ParsedRule>(*std::move(parsed))}}));
  auto reader = BatchOf(events);
  const auto matches = matcher.Run(reader);
  EXPECT_TRUE(matches.ok()) << matches.status();
  std::vector<uint32_t> rows;
  for (const auto& match : *matches) rows.push_back(match.row);
  return rows;
}

}  // namespace yagura::detection::testing
