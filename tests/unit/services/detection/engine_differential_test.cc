// BatchMatcher against the plain evaluation of the same rules: whatever it indexes, shares and
// remembers, it finds the same.
#include <functional>
#include <random>

#include "fmt/format.h"
#include "gtest/gtest.h"

#include "tests/unit/services/detection/engine_fixture.h"
#include "tests/unit/services/detection/plain_matcher.h"
#include "tests/unit/services/detection/shared_data.h"

namespace yagura::detection {
namespace {

using testing::PlainMatcher;

// Makes rules and events whose texts come from the same few pieces, so that they meet often.
class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  size_t Below(size_t bound) {
    return std::uniform_int_distribution<size_t>(0, bound - 1)(random_);
  }
  bool OneIn(size_t count) { return Below(count) == 0; }
  template <typename List>
  std::string Pick(const List& list) {
    return std::string(*(std::begin(list) + Below(std::size(list))));
  }

  std::string Text() {
    static constexpr std::string_view kPieces[] = {
        "a",      "b",        "Ab",     "cmd",   ".exe",     "\\\\",        "PowerShell",
        "-enc",   "/enc",     "–enc",   " ",     "x",        "xx",          "xxxx",
        "net ",   "user",     "Ärger",  "ärger", "ΣΑΣ",      "σας",         "K",
        "k",      "ſ",        "S",      "10.",   "10.1.",    "192.168.1.7", "5",
        "42",     "-7",       "null",   "NULL",  "\xc3",     "\x89",        "mimikatz",
        "invoke", "download", "string", "%",     "cABvAHcA", "cG93ZXI",     "2026-11-22T08:15:00Z",
        "::1",    "fe80::1"};
    std::string text;
    for (size_t pieces = Below(5); pieces > 0; --pieces) text += Pick(kPieces);
    return text;
  }

  std::string Field() {
    static constexpr std::string_view kFields[] = {"a", "b", "c", "src_ip", "User", "EventID"};
    return Pick(kFields);
  }

  event::v1::Event Event() {
    event::v1::Event event;
    static constexpr std::string_view kProducts[] = {"acme.box", "acme", "other.box"};
    event.set_product(Pick(kProducts));
    if (OneIn(3)) event.set_user(Text());
    if (OneIn(4)) event.set_message(Text());
    if (OneIn(3)) event.mutable_src()->set_ip(std::string("\x0a\x01\x00\x07", 4));
    for (size_t fields = Below(7); fields > 0; --fields) {
      auto* field = event.add_fields();
      field->set_name(Field());
      field->set_value(OneIn(8) ? Number() : Text());
    }
    event.set_raw(Text() + Text());
    return event;
  }

  std::string Rule() {
    std::string text = fmt::format(
        "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-{:012x}\nlogsource:\n  product: {}\ndetection:\n",
        ++rules_, OneIn(3) ? "other" : "acme");
    const size_t selections = 1 + Below(3);
    for (size_t i = 0; i < selections; ++i) text += fmt::format("  s{}:\n{}", i, Selection());
    return text + fmt::format("  condition: {}\nlevel: low\n", Condition(selections, 2));
  }

 private:
  std::string Number() { return fmt::to_string(static_cast<int>(Below(60)) - 5); }

  static std::string Quoted(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte < 0x20 || c == '"' || c == '\\') {
        quoted += fmt::format("\\x{:02x}", byte);
      } else {
        quoted += c;
      }
    }
    return quoted + "\"";
  }

  std::string Wild() {
    std::string text;
    static constexpr std::string_view kWilds[] = {"", "", "", "*", "?", "\\*", "\\?"};
    for (size_t pieces = 1 + Below(3); pieces > 0; --pieces) text += Pick(kWilds) + Text();
    return text + Pick(kWilds);
  }

  std::string Values(const std::string& key, const std::function<std::string()>& value) {
    if (OneIn(2)) return fmt::format("    {}: {}\n", key, value());
    std::string text = fmt::format("    {}:\n", key);
    for (size_t count = 1 + Below(4); count > 0; --count) text += "      - " + value() + "\n";
    return text;
  }

  std::string Selection() {
    if (OneIn(8)) {
      std::string text;
      for (size_t count = 1 + Below(2); count > 0; --count)
        text += "    - " + Quoted(Wild()) + "\n";
      return text;
    }
    std::string text;
    const size_t first = Below(3);
    for (size_t i = 0; i < 1 + Below(2); ++i) {
      static constexpr std::string_view kFields[] = {"a", "b", "c", "src_ip", "User", "EventID"};
      text += Test(std::string(kFields[(first + i) % std::size(kFields)]));
    }
    return text;
  }

  std::string Test(const std::string& field) {
    static constexpr std::string_view kTexts[] = {"",
                                                  "|contains",
                                                  "|contains|all",
                                                  "|startswith",
                                                  "|endswith",
                                                  "|cased",
                                                  "|contains|cased",
                                                  "|startswith|cased",
                                                  "|endswith|cased",
                                                  "|neq",
                                                  "|contains|windash",
                                                  "|contains|neq"};
    static constexpr std::string_view kEncoded[] = {"|base64offset|contains", "|base64|contains",
                                                    "|wide|base64offset|contains",
                                                    "|utf16be|contains"};
    static constexpr std::string_view kRegexes[] = {"(?:cmd|net)\\s*\\.exe",
                                                    "^a.*b$",
                                                    "x{2,3}y?",
                                                    "pow(er)?shell",
                                                    "mimi[kK]atz",
                                                    "k",
                                                    "s|ſ",
                                                    "ä",
                                                    "user\\d*",
                                                    "(a|b)+cmd",
                                                    "(invoke|download).{0,5}str",
                                                    "\\.exe$",
                                                    "in(?:voke)",
                                                    "\\x41b",
                                                    "[^a]b"};
    static constexpr std::string_view kBlocks[] = {"10.0.0.0/8", "10.1.0.0/16", "192.168.1.7",
                                                   "0.0.0.0/0",  "fe80::/10",   "::/0"};
    switch (Below(10)) {
      case 0:
        return Values(
            field + Pick(std::initializer_list<std::string_view>{"|re", "|re|i", "|re|s"}),
            [this] { return Quoted(Pick(kRegexes)); });
      case 1:
        return Values(field + "|cidr", [this] { return Quoted(Pick(kBlocks)); });
      case 2:
        return Values(
            field + Pick(std::initializer_list<std::string_view>{"|lt", "|lte", "|gt", "|gte"}),
            [this] { return Number(); });
      case 3:
        return fmt::format("    {}|exists: {}\n", field, OneIn(2) ? "true" : "false");
      case 4:
        return fmt::format("    {}|fieldref{}: {}\n", field,
                           Pick(std::initializer_list<std::string_view>{"", "|startswith",
                                                                        "|endswith", "|contains"}),
                           Field());
      case 5:
        return Values(field + Pick(kEncoded), [this] { return Quoted("e" + Text()); });
      case 6:
        return Values(field + "|hour", [this] { return fmt::to_string(Below(24)); });
      case 7:
        return Values(field, [this] { return OneIn(2) ? "null" : "''"; });
      default:
        return Values(field + Pick(kTexts), [this] { return Quoted(Wild()); });
    }
  }

  std::string Condition(size_t selections, int depth) {
    static constexpr std::string_view kOf[] = {"1 of s*", "all of s*", "1 of them", "all of them"};
    if (depth == 0 || OneIn(3)) return fmt::format("s{}", Below(selections));
    switch (Below(5)) {
      case 0:
        return "not (" + Condition(selections, depth - 1) + ")";
      case 1:
        return Pick(kOf);
      case 2:
        return "(" + Condition(selections, depth - 1) + ") or " + Condition(selections, depth - 1);
      default:
        return "(" + Condition(selections, depth - 1) + ") and (" +
               Condition(selections, depth - 1) + ")";
    }
  }

  std::mt19937 random_;
  uint64_t rules_ = 0;
};

std::string Tell(const std::vector<Match>& matches, const RuleSet& rules) {
  std::string text;
  for (const auto& match : matches) {
    text += fmt::format("{} {}\n", match.row, rules.rule(rules.targets()[match.target]).info().id);
  }
  return text;
}

TEST(EngineDifferential, RandomRulesFindWhatPlainEvaluationFinds) {
  size_t rules_made = 0;
  size_t rules_taken = 0;
  size_t matched = 0;
  for (uint32_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Generator generator(seed);
    std::vector<RuleSet::Entry> entries;
    std::string texts;
    for (int i = 0; i < 40; ++i) {
      const std::string text = generator.Rule();
      ++rules_made;
      auto parsed = ParseSigma(text);
      if (!parsed.ok()) continue;  // a value that is no text, or modifiers that refuse it
      ++rules_taken;
      texts += text + "---\n";
      static constexpr std::string_view kTenants[] = {"", "", "acme", "globex"};
      entries.push_back(
          {generator.Pick(kTenants), std::make_shared<const ParsedRule>(*std::move(parsed))});
    }
    const auto rules = RuleSet::Build(std::move(entries));
    BatchMatcher remembering(rules);
    BatchMatcher forgetting(rules, 0);
    for (int batch = 0; batch < 6; ++batch) {
      std::vector<event::v1::Event> events;
      for (size_t count = 1 + generator.Below(70); count > 0; --count) {
        events.push_back(generator.Event());
      }
      auto reader = testing::BatchOf(events, batch % 3 == 0 ? "globex" : "acme");
      const auto expected = PlainMatcher(reader).Run(*rules);
      matched += expected.size();
      for (BatchMatcher* matcher : {&remembering, &forgetting}) {
        const auto found = matcher->Run(reader);
        ASSERT_TRUE(found.ok()) << found.status();
        ASSERT_EQ(Tell(*found, *rules), Tell(expected, *rules)) << texts;
      }
    }
    EXPECT_EQ(remembering.counts().forgotten, 0U);
    EXPECT_GT(forgetting.counts().forgotten, 0U);
  }
  EXPECT_GT(rules_taken, rules_made / 2);
  EXPECT_GT(matched, 50'000U);
}

TEST(EngineDifferential, SharedRulesFindInSharedEventsWhatPlainEvaluationFinds) {
  if (!testing::HasSharedData()) GTEST_SKIP() << "no shared rules and events";
  const auto rules = testing::LoadSharedRules().set;
  BatchMatcher matcher(rules);
  size_t matched = 0;
  // From everywhere in the recordings: they begin with what computers do anyway.
  const auto batches = testing::SharedBatches(16, SIZE_MAX);
  for (size_t i = 0; i < batches.size(); i += 30) {
    auto reader = event::BatchReader::Open(batches[i]);
    ASSERT_TRUE(reader.ok());
    const auto expected = PlainMatcher(*reader).Run(*rules);
    const auto found = matcher.Run(*reader);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(Tell(*found, *rules), Tell(expected, *rules));
    matched += found->size();
  }
  EXPECT_GT(matched, 20U);
}

}  // namespace
}  // namespace yagura::detection
