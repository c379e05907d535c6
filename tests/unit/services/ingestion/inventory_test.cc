// An inventory of everything that is in the shared data, file by file: what product each line is
// taken for, and that nothing which the line plainly holds is missing from its event. The readings
// of lines here are slow and independent of the parsers'.
#include <simdjson.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "gtest/gtest.h"

#include "common/text/text.h"
#include "tests/unit/services/ingestion/parse_line.h"

namespace yagura::ingestion {
namespace {

namespace fs = std::filesystem;
namespace v1 = event::v1;

fs::path DataFolder() {
  if (const char* data = std::getenv("YAGURA_DATA")) return data;
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / "../shared/data";
}

std::vector<std::string> LinesOf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

// Every line of a file that is packed with zstd.
std::vector<std::string> PackedLinesOf(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(in), {}};
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   &ZSTD_freeDCtx);
  std::string text;
  std::string piece(ZSTD_DStreamOutSize(), '\0');
  for (ZSTD_inBuffer from{packed.data(), packed.size(), 0}; from.pos < from.size;) {
    ZSTD_outBuffer to{piece.data(), piece.size(), 0};
    if (ZSTD_isError(ZSTD_decompressStream(context.get(), &to, &from)) != 0) {
      ADD_FAILURE() << file << " is damaged";
      break;
    }
    text.append(piece, 0, to.pos);
  }
  std::vector<std::string> lines;
  for (const std::string_view line : Split(text, '\n')) {
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

// What each file of a known vendor may become. "generic.*" stands where the file has lines of the
// host's own daemons, too. Files that are not here have no parser of their own: any generic one, or
// what a CEF or LEEF head names.
const std::map<std::string, std::set<std::string>>& ProductsByFile() {
  static const std::map<std::string, std::set<std::string>> kProducts{
      {"arista.log", {"cisco.ios"}},  // writes Cisco's form, and does not say whose it is
      {"checkpoint.log", {"checkpoint.firewall", "generic.syslog"}},  // one line of its kernel
      {"checkpoint_syslog_rfc5424.log", {"checkpoint.firewall"}},
      {"cisco_asa.log", {"cisco.asa", "cisco.ftd"}},
      {"cisco_cimc.log", {"cisco.ios"}},
      {"cisco_firepower.log", {"cisco.ftd"}},
      {"cisco_fwsm.log", {"cisco.asa"}},
      {"cisco_ios.log", {"cisco.ios"}},
      {"cisco_pix.log", {"cisco.asa"}},
      {"cisco_ucs_manager.log", {"cisco.ios"}},
      {"dell_sonicwall.log", {"sonicwall.firewall"}},
      {"f5_bigip.log", {"f5.bigip", "generic.json", "generic.syslog", "linux.auth"}},
      {"fortinet_ngfw.log", {"fortinet.fortigate", "generic.syslog"}},
      {"fortinet_web.log", {"fortinet.fortiweb"}},
      {"infoblox.log",
       {"isc.bind", "isc.dhcpd", "infoblox.nios_threat", "generic.syslog", "linux.auth"}},
      {"isc.log", {"isc.bind", "isc.dhcpd"}},
      {"juniper_junos_rfc3164.log", {"juniper.srx", "juniper.junos"}},
      {"juniper_junos_rfc5424.log", {"juniper.srx"}},
      {"juniper_legacy.log", {"juniper.screenos"}},
      {"linux_syslog.log", {"linux.auth"}},
      {"nutanix.log", {"linux.auditd"}},
      {"palo_alto.log", {"paloalto.panos"}},
      {"pfsense.log", {"netgate.pfsense"}},
      {"sophos_firewall_xg.log", {"sophos.firewall"}},
      {"suricata.log", {"oisf.suricata"}},
  };
  return kProducts;
}

bool IsVendorParsers(const std::string& product) {
  static const std::set<std::string> kOwn{
      "fortinet.fortigate",  "fortinet.fortiweb",  "paloalto.panos",    "cisco.asa",
      "checkpoint.firewall", "juniper.srx",        "juniper.junos",     "sonicwall.firewall",
      "sophos.firewall",     "watchguard.firebox", "netgate.pfsense",   "yamaha.rtx",
      "furukawa.fitelnet",   "daj.ifilter",        "skysea.client_view"};
  return kOwn.contains(product);
}

// name=value and name="value", as far as every reading of the line must agree.
Pairs PairsOf(const std::string& line) {
  static const std::regex kPair(
      R"re((?:^|[ >,;|])([A-Za-z_][A-Za-z0-9_-]*)=("(?:[^"\\]|\\.)*"|[^"'\[{( ,;|\xe2][^ ,;|]*)(?= |$|[,;|] ?[A-Za-z_][A-Za-z0-9_-]*=))re");
  Pairs pairs;
  for (std::sregex_iterator match(line.begin(), line.end(), kPair), end; match != end; ++match) {
    std::string value = (*match)[2];
    if (value.size() > 1 && value.front() == '"') {
      value = value.substr(1, value.size() - 2);
      value = std::regex_replace(value, std::regex(R"(\\(["\\]))"), "$1");
    }
    pairs.emplace_back((*match)[1], value);
  }
  static const std::regex kQuotedName(R"re((?:^|[ ,;|])"([A-Za-z_][A-Za-z0-9_-]*)"="([^"\\]*)")re");
  static const std::regex kCurlyQuotes(
      R"re((?:^|[ ,;|])([A-Za-z_][A-Za-z0-9_-]*)=\xe2\x80\x9d([^\xe2]*)\xe2\x80\x9d)re");
  for (const std::regex& form : {std::cref(kQuotedName), std::cref(kCurlyQuotes)}) {
    for (std::sregex_iterator match(line.begin(), line.end(), form), end; match != end; ++match) {
      pairs.emplace_back((*match)[1], (*match)[2]);
    }
  }
  return pairs;
}

using Values = std::multimap<std::string, std::string>;

Values ValuesOf(const v1::Event& event) {
  Values values;
  for (const auto& field : event.fields()) values.emplace(field.name(), field.value());
  return values;
}

bool Has(const Values& values, const std::string& name, const std::string& value) {
  const auto [from, to] = values.equal_range(name);
  return std::any_of(from, to, [&value](const auto& field) { return field.second == value; });
}

// Also behind the id of its structured data, as "src_zone" for "src zone", with spaces in the
// value, or within the value of another field: which the plain reading here does not know.
bool HasPair(const Values& values, const std::string& name, const std::string& value) {
  return std::any_of(values.begin(), values.end(), [&](const auto& field) {
    const bool named = field.first == name || field.first.ends_with("." + name) ||
                       field.first.ends_with("_" + name);
    return (named && (field.second == value || field.second.starts_with(value + " "))) ||
           field.second.find(name + "=" + value) != field.second.npos;
  });
}

// Of "Event.EventData.IpAddress" the last parts are enough where a shipper's wrapping is taken off.
bool HasLeaf(const Values& values, std::string name, const std::string& value) {
  for (;;) {
    if (Has(values, name, value)) return true;
    const size_t dot = name.find('.');
    if (dot == name.npos) return false;
    name.erase(0, dot + 1);
  }
}

// Each leaf of a JSON value; empty objects and arrays are leaves.
void LeavesOf(simdjson::dom::element element, const std::string& name, Pairs* leaves) {
  const auto nested = [&name](std::string_view key) {
    return name.empty() ? std::string(key) : name + "." + std::string(key);
  };
  if (element.is_object() && simdjson::dom::object(element).size() > 0) {
    for (const auto field : simdjson::dom::object(element)) {
      LeavesOf(field.value, nested(field.key), leaves);
    }
  } else if (element.is_array() && simdjson::dom::array(element).size() > 0) {
    for (const auto item : simdjson::dom::array(element)) LeavesOf(item, name, leaves);
  } else if (element.is_string()) {
    leaves->emplace_back(name, std::string(std::string_view(element)));
  } else {
    leaves->emplace_back(name, simdjson::minify(element));
  }
}

// Leaves of the JSON object that a line ends with; nothing where there is none.
Pairs JsonLeavesOf(const std::string& line) {
  Pairs leaves;
  const size_t start = line.find('{');
  if (start == line.npos) return leaves;
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  if (parser.parse(line.substr(start)).get(element) == simdjson::SUCCESS && element.is_object()) {
    LeavesOf(element, "", &leaves);
  }
  return leaves;
}

// The extension of a CEF line: from name= to before the next " name=".
Pairs CefPairsOf(const std::string& line) {
  static const std::regex kHead(R"(CEF: ?[01]\|(?:(?:[^|\\]|\\.)*\|){5}[^|]*\|)");
  static const std::regex kName(R"((^| )([A-Za-z0-9_.\[\]-]+)=)");
  Pairs pairs;
  std::smatch head;
  if (!std::regex_search(line, head, kHead)) return pairs;
  const std::string text = head.suffix();
  std::vector<std::pair<std::string, std::pair<size_t, size_t>>> names;  // where name, value begin
  for (std::sregex_iterator match(text.begin(), text.end(), kName), end; match != end; ++match) {
    const auto at = static_cast<size_t>(match->position());
    names.push_back({(*match)[2], {at, at + static_cast<size_t>(match->length())}});
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const size_t from = names[i].second.second;
    const size_t to = i + 1 < names.size() ? names[i + 1].second.first : text.size();
    std::string value(Trim(std::string_view(text).substr(from, to - from)));
    value = std::regex_replace(value, std::regex(R"(\\([=|\\]))"), "$1");
    pairs.emplace_back(names[i].first, value);
  }
  return pairs;
}

class InventoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(DataFolder() / "syslog-lines")) {
      GTEST_SKIP() << "no shared data at " << DataFolder();
    }
    const fs::path folder = DataFolder() / "syslog-lines";
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().extension() == ".log") files_.push_back(entry.path());
    }
    std::sort(files_.begin(), files_.end());
  }

  template <typename Visit>
  void ForEachLine(const Visit& visit) {
    for (const fs::path& file : files_) {
      for (const std::string& line : LinesOf(file)) {
        visit(file.filename().string(), line, ParseLine(line));
      }
    }
  }

  std::vector<fs::path> files_;
};

TEST_F(InventoryTest, EveryFileHasTheRightProduct) {
  EXPECT_GE(files_.size(), 100u);
  std::set<std::string> seen;
  ForEachLine([&](const std::string& file, const std::string& line, const v1::Event& event) {
    EXPECT_EQ(event.raw(), line);
    EXPECT_NE(event.product(), "unknown") << file << ": " << line;
    const auto known = ProductsByFile().find(file);
    if (known == ProductsByFile().end()) {
      EXPECT_FALSE(IsVendorParsers(event.product()))
          << file << " is not of " << event.product() << ": " << line;
      return;
    }
    const bool headed = line.find("CEF:") != line.npos || line.find("LEEF:") != line.npos;
    EXPECT_TRUE(headed || known->second.contains(event.product()))
        << file << " became " << event.product() << ": " << line;
    if (!event.product().starts_with("generic.")) seen.insert(file);
  });
  for (const auto& [file, products] : ProductsByFile()) {
    EXPECT_TRUE(seen.contains(file)) << "no line of " << file << " has its product";
  }
}

TEST_F(InventoryTest, NoPairIsMissing) {
  int pairs = 0;
  ForEachLine([&](const std::string& file, const std::string& line, const v1::Event& event) {
    if (line.find('{') != line.npos || line.find("CEF:") != line.npos ||
        line.find("LEEF:") != line.npos || HasFlaw(event, v1::PARTLY_PARSED)) {
      return;
    }
    const Values values = ValuesOf(event);
    for (const auto& [name, value] : PairsOf(line)) {
      // The stamp of an audit record is taken apart.
      if (event.product() == "linux.auditd" && value.starts_with("audit(")) continue;
      EXPECT_TRUE(HasPair(values, name, value))
          << file << ": " << name << "=" << value << " is missing from " << event.product() << ": "
          << line;
      ++pairs;
    }
  });
  EXPECT_GT(pairs, 1000);
}

TEST_F(InventoryTest, NoJsonLeafIsMissing) {
  int leaves = 0;
  ForEachLine([&](const std::string& file, const std::string& line, const v1::Event& event) {
    const Values values = ValuesOf(event);
    for (const auto& [name, value] : JsonLeavesOf(line)) {
      ++leaves;
      if (HasLeaf(values, name, value)) continue;
      // Numbers may be written in another way.
      const auto number = ParseNumber<double>(value);
      EXPECT_TRUE(number && values.contains(name))
          << file << ": " << name << ": " << value << " is missing: " << line;
    }
  });
  EXPECT_GT(leaves, 500);
}

TEST_F(InventoryTest, NoExtensionOfACefLineIsMissing) {
  int pairs = 0;
  ForEachLine([&](const std::string& file, const std::string& line, const v1::Event& event) {
    const Values values = ValuesOf(event);
    for (const auto& [name, value] : CefPairsOf(line)) {
      EXPECT_TRUE(HasPair(values, name, value))
          << file << ": " << name << "=" << value << " is missing: " << line;
      ++pairs;
    }
  });
  EXPECT_GT(pairs, 300);
}

// Minutes and seconds are the same in (nearly) every zone: the event's must stand in the line, as a
// clock or as a count since 1970.
TEST_F(InventoryTest, TheTimeIsOneThatTheLineHas) {
  static const std::regex kHead(
      R"(^<\d+> ?(?:1 )?[*.]?(?:[A-Z][a-z]{2} +\d+ [\d:]{8}[ .:]|\d{4}-\d\d-\d\dT[\d:]{8}|\d{10} ))");
  int timed = 0;
  ForEachLine([&](const std::string& file, const std::string& line, const v1::Event& event) {
    if (HasFlaw(event, v1::NO_EVENT_TIME)) {
      EXPECT_FALSE(std::regex_search(line, kHead)) << file << ": " << line;
      return;
    }
    const std::string time = EventTime(event);  // 2026-11-21T00:15:42Z
    const std::string clock = time.substr(13, 6);
    const std::string epoch = std::to_string(event.event_time().seconds());
    EXPECT_TRUE(line.find(clock) != line.npos || line.find(epoch) != line.npos)
        << file << ": " << time << " is not in " << line;
    ++timed;
  });
  EXPECT_GT(timed, 500);
}

TEST_F(InventoryTest, WindowsEventsAreWhole) {
  const fs::path folder = DataFolder() / "windows-events";
  LinePipeline pipeline(ShippedParsers());
  LineContext context;
  context.receive_time = At("2026-11-21T00:15:45Z");
  v1::Event event;
  size_t lines = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".zst") continue;
    const auto all = PackedLinesOf(entry.path());
    // All leaves of some, the product and the time of all.
    for (size_t i = 0; i < all.size(); ++i) {
      event.Clear();
      event::ToProto(pipeline.Process(all[i], context).event, &event);
      ASSERT_EQ(event.product(), "microsoft.windows") << all[i];
      ASSERT_FALSE(HasFlaw(event, v1::NO_EVENT_TIME)) << all[i];
      ASSERT_FALSE(HasFlaw(event, v1::PARTLY_PARSED)) << event.parse_error() << all[i];
      ASSERT_NE(event.vendor_event_id(), "") << all[i];
      ++lines;
      if (i % 50 != 0) continue;
      const Values values = ValuesOf(event);
      for (const auto& [name, value] : JsonLeavesOf(all[i])) {
        ASSERT_TRUE(HasLeaf(values, name, value)) << name << ": " << value << " in " << all[i];
      }
    }
  }
  EXPECT_GT(lines, 100'000u);
}

TEST_F(InventoryTest, ZeekRecordsAreWhole) {
  size_t lines = 0;
  for (const auto& entry : fs::directory_iterator(DataFolder() / "zeek")) {
    if (entry.path().extension() != ".jsonl") continue;
    for (const std::string& line : LinesOf(entry.path())) {
      const v1::Event event = ParseLine(line);
      ASSERT_EQ(event.product(), "zeek.zeek") << line;
      const Values values = ValuesOf(event);
      // One of its streams tells no times.
      ASSERT_EQ(HasFlaw(event, v1::NO_EVENT_TIME), !values.contains("ts")) << line;
      for (const auto& [name, value] : JsonLeavesOf(line)) {
        ASSERT_TRUE(HasLeaf(values, name, value) ||
                    (ParseNumber<double>(value) && values.contains(name)))
            << name << ": " << value << " in " << line;
      }
      ++lines;
    }
  }
  EXPECT_GT(lines, 5000u);
}

}  // namespace
}  // namespace yagura::ingestion
