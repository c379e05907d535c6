#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>

#include "cli/commands/command.h"
#include "cli/detect/event_texts.h"
#include "cli/detect/rule_files.h"
#include "cli/send/line_source.h"
#include "cli/send/zstd_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"
#include "common/testing/process.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_limits.h"
#include "simdjson.h"

namespace yagura::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr std::string_view kRule =
    "title: Whoami was run\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\n"
    "logsource:\n  product: windows\n  category: process_creation\n"
    "detection:\n  s:\n    Image|endswith: '\\whoami.exe'\n  condition: s\nlevel: high\n";
constexpr std::string_view kFlat =
    R"({"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Hostname":"pc1",)"
    R"("Image":"C:\\Windows\\System32\\WHOAMI.exe","User":"ACME\\ann"})";
constexpr std::string_view kNested =
    R"({"Event":{"System":{"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,)"
    R"("Computer":"pc2"},"EventData":{"Image":"C:\\x\\whoami.exe","User":"ACME\\bob"}}})";
constexpr std::string_view kOther =
    R"({"Channel":"Microsoft-Windows-Sysmon/Operational","EventID":1,"Image":"C:\\x\\calc.exe"})";

std::string Packed(std::string_view text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

struct Outcome {
  absl::Status status;
  std::string usage;
  std::string out;
  std::string err;
};

class DetectTest : public ::testing::Test {
 protected:
  DetectTest() { rules_ = File("rules/whoami.yml", kRule); }

  std::string File(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }

  static Outcome Detect(std::vector<std::string> line) {
    CLI::App app;
    app.require_subcommand(1);
    Globals globals;
    Program program(app, globals);
    AddDetectCommand(program);
    line.insert(line.begin(), {"detect", "--content",
                               std::filesystem::path(getenv("YAGURA_SOURCE_DIR")) / "content"});
    Outcome outcome;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    try {
      app.parse(std::vector<std::string>(line.rbegin(), line.rend()));
    } catch (const CLI::ParseError& error) {
      outcome.usage = error.what();
    }
    outcome.err = ::testing::internal::GetCapturedStderr();
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.status = program.status();
    return outcome;
  }

  const testing::TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
  std::string rules_;
};

TEST_F(DetectTest, TellsFindingsAsJsonLinesAndASummaryApart) {
  const auto events = File("events.jsonl", std::string(kFlat) + "\n" + std::string(kOther) + "\n" +
                                               std::string(kFlat) + "\n");
  const auto outcome = Detect({"--rules", rules_, events});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto lines = Split(Trim(outcome.out), '\n');
  ASSERT_THAT(lines, SizeIs(1));
  simdjson::dom::parser parser;
  simdjson::dom::element finding;
  ASSERT_EQ(parser.parse(std::string(lines.front())).get(finding), simdjson::SUCCESS);
  const auto text = [&finding](const char* name) {
    return std::string(finding[name].get_string().value());
  };
  EXPECT_EQ(text("rule_id"), "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001");
  EXPECT_EQ(text("title"), "Whoami was run");
  EXPECT_THAT(outcome.out, HasSubstr("WHOAMI.exe"));
  EXPECT_THAT(outcome.err, HasSubstr("1 rules loaded, 0 refused; 1 of them matched; 1 findings"));
  EXPECT_THAT(outcome.err, HasSubstr("         2  4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001  Whoami"));
  EXPECT_THAT(outcome.err, HasSubstr("3 lines"));
  // No bar where nobody looks.
  EXPECT_THAT(outcome.err, Not(HasSubstr("\x1b")));
}

TEST_F(DetectTest, SaysHowManyLinesWereNotReadWhole) {
  const std::string whole = std::string(kFlat) + "\n";
  const std::string cut = std::string(kFlat.substr(0, kFlat.size() - 1)) + R"(,"More":")" +
                          std::string(2 << 20, 'x') + "\"}\n";
  const std::string broken = std::string(kFlat.substr(0, kFlat.size() - 5)) + "\n";
  const auto events = File("events.jsonl", whole + cut + "no format at all\n" + broken);
  const auto outcome = Detect({"--rules", rules_, events});
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("2 lines not whole (of them 1 cut), 1 not understood\n"));
  // Where all is well there is nothing to say.
  EXPECT_THAT(Detect({"--rules", rules_, File("whole.jsonl", whole)}).err,
              Not(HasSubstr("not whole")));
  // What the suite wrote says itself how it was read.
  const auto exported =
      File("exported.jsonl",
           R"({"id":"1-0","tenant":"acme","receive_time":"2026-01-01T00:00:00Z","raw":"x",)"
           R"("flaws":["UNPARSED","TRUNCATED"],"fields":{}})"
           "\n");
  EXPECT_THAT(Detect({"--rules", rules_, exported}).err,
              HasSubstr("1 lines not whole (of them 1 cut), 1 not understood\n"));
}

// What the suite writes of its events has been parsed before: the raw line is not read once more.
TEST_F(DetectTest, ReadsWhatTheSuiteItselfWrites) {
  const std::string rule = File("own/blocked.yml",
                                "title: A blocked connection\n"
                                "id: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c077\n"
                                "logsource:\n    category: firewall\n"
                                "detection:\n"
                                "    s:\n        '@action': BLOCKED\n        policyid: 7\n"
                                "    condition: s\n"
                                "level: low\n");
  const auto events = File(
      "events.jsonl",
      R"({"id":"a-1","tenant":"acme","device":"fw-1","receive_time":"2026-11-23T06:50:01Z",)"
      R"("event_time":"2026-11-23T06:50:00Z","raw":"no parser knows this","product":)"
      R"("fortinet.fortigate","category":"traffic","action":"BLOCKED","fields":{"policyid":"7"}})"
      "\n");
  const auto outcome = Detect({"--rules", rule, events});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("1 of them matched; 1 findings"));
  EXPECT_THAT(outcome.out, HasSubstr("no parser knows this"));
}

TEST_F(DetectTest, ReadsNestedAndPackedEvents) {
  const auto events = File("events.jsonl.zst", Packed(std::string(kNested) + "\n"));
  const auto outcome = Detect({"--rules", rules_, events});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.out, HasSubstr("whoami.exe"));
}

// The same event, as many lines as it takes.
std::string Pretty(std::string_view json) {
  std::string text;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    text += json[i];
    if (json[i] == '\\') {
      text += json[++i];
      continue;
    }
    if (json[i] == '"') in_string = !in_string;
    if (!in_string && (json[i] == '{' || json[i] == ',' || json[i] == '}')) text += "\r\n\n  ";
  }
  return text;
}

TEST_F(DetectTest, ReadsAJsonDocumentAFile) {
  const auto one = File("one.json", Pretty(kNested));
  const auto two = File("two.json.zst", Packed("\xEF\xBB\xBF" + Pretty(kFlat)));
  const auto lines = File("three.jsonl", std::string(kFlat) + "\n" + std::string(kOther) + "\n");
  const auto outcome = Detect({"--rules", rules_, one, two, lines});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("4 lines"));
  EXPECT_THAT(outcome.err, HasSubstr("         3  4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001  Whoami"));
  EXPECT_THAT(outcome.out, HasSubstr("bob"));
}

TEST_F(DetectTest, ReadsArraysOfEvents) {
  const auto array = [](std::string_view begin, std::string_view between, std::string_view end) {
    return std::string(begin) + std::string(kFlat) + std::string(between) + std::string(kOther) +
           std::string(between) + Pretty(kNested) + std::string(end);
  };
  for (const auto& text :
       {array("[", ",", "]"), array("[\n", ",\n", "\n]\n"), array(" [ ", " , ", "]"),
        array("[\n  ", "\n  ,", "]"), Pretty(kFlat) + Pretty(kOther) + Pretty(kNested)}) {
    const auto outcome = Detect({"--rules", rules_, File("array.json", text)});
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_THAT(outcome.err, HasSubstr("3 lines")) << text;
    EXPECT_THAT(outcome.err, HasSubstr("         2  4b4aa1e8")) << text;
  }
  // A line of 1 MiB and more would be cut.
  std::string many = "[" + std::string(kFlat);
  while (many.size() < 3'000'000) many += "," + std::string(kOther);
  const auto outcome =
      Detect({"--rules", rules_, File("many.json", many + "," + std::string(kFlat) + "]")});
  EXPECT_THAT(outcome.err, HasSubstr("         2  4b4aa1e8"));
}

class EventTextsTest : public DetectTest {
 protected:
  std::vector<std::string> Texts(const std::string& text) {
    auto lines = LineSource::Open({File("texts", text)}, 1);
    EXPECT_TRUE(lines.ok());
    EventTexts texts(*std::move(lines));
    std::vector<std::string> all;
    size_t bytes = 0;
    for (std::string one; texts.Next(one, bytes);) all.push_back(one);
    return all;
  }
};

TEST_F(EventTextsTest, WhatIsNoJsonIsGivenLineByLine) {
  EXPECT_THAT(Texts("[error] one\n[error] two\n"), ElementsAre("[error] one", "[error] two"));
  EXPECT_THAT(Texts("{one\n{two\n}}\nthree\n"), ElementsAre("{one", "{two", "}}", "three"));
  EXPECT_THAT(Texts("{\n\"a\": 1}\nplain {\nmore\n"), ElementsAre("{\"a\":1}", "plain {", "more"));
  EXPECT_THAT(Texts("{\"a\": 1,\n\"b\": \n"), ElementsAre("{\"a\": 1,", "\"b\": "));
  EXPECT_THAT(Texts("{\"a\": \"}\\\"{\"\n}"), ElementsAre("{\"a\":\"}\\\"{\"}"));
  EXPECT_THAT(Texts("{} {}\n{\n}\n"), ElementsAre("{} {}", "{", "}"));
  EXPECT_THAT(Texts("[]"), IsEmpty());
  EXPECT_THAT(Texts("[[1]]"), ElementsAre("[[1]]"));
}

TEST_F(DetectTest, TakesPlaceholdersFromAFile) {
  const auto rule = File("expand/rule.yml",
                         "title: Of ours\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c004\n"
                         "logsource:\n  product: windows\n  category: process_creation\n"
                         "detection:\n  s:\n    User|expand: '%Our_People%'\n  condition: s\n");
  const auto events = File("events.jsonl", std::string(kFlat) + "\n" + std::string(kOther) + "\n");
  EXPECT_THAT(Detect({"--rules", rule, events}).err, HasSubstr("%Our_People% has no value"));
  for (const char* text : {"Our_People: ['ACME\\ann', bob]\n", "'%our-people%': '*ann'\n",
                           "{\"our_people\": [\"*\\\\ANN\"]}"}) {
    const auto outcome =
        Detect({"--rules", rule, "--placeholders", File("placeholders.yml", text), events});
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_THAT(outcome.err, HasSubstr("         1  4b4aa1e8")) << text;
  }
  for (const char* text : {"[a]", "a: [[b]]", "a: []", "a:", "a: 1\nA: 2", "a: ["}) {
    const auto outcome = Detect({"--rules", rule, "--placeholders", File("bad.yml", text), events});
    EXPECT_EQ(ErrorReason(outcome.status), "BAD_PLACEHOLDERS") << text;
    EXPECT_THAT(std::string(Message(outcome.status)), HasSubstr("bad.yml: line ")) << text;
  }
  EXPECT_EQ(ErrorReason(Detect({"--rules", rule, "--placeholders", "/nonexistent", events}).status),
            "FILE_UNREADABLE");
}

TEST_F(DetectTest, ListsWhatWasRefusedAndGoesOn) {
  File("rules/bad.yml",
       "title: Bad\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlogsource:\n  product: windows\n"
       "detection:\n  s:\n    a|sounds_like: x\n  condition: s\n");
  File("rules/double.yml", kRule);
  const auto outcome =
      Detect({"--rules", (folder_ / "rules").string(), File("events.jsonl", kFlat)});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("bad.yml: line 7: modifier \"sounds_like\" is not known"));
  EXPECT_THAT(outcome.err, HasSubstr("has the same id"));
  EXPECT_THAT(outcome.err, HasSubstr("1 rules loaded, 2 refused"));
}

TEST_F(DetectTest, TakesWhatPlaceholdersStandFor) {
  const std::string rule =
      File("expand.yml",
           "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\nlogsource:\n  product: windows\n"
           "detection:\n  s:\n    User|endswith|expand: '%Admin_Names%'\n  condition: s\n");
  const auto events = File("events.jsonl", std::string(kFlat) + "\n" + std::string(kNested) + "\n");
  EXPECT_THAT(Detect({"--rules", rule, events}).err,
              HasSubstr("placeholder %Admin_Names% has no value"));
  const auto outcome = Detect({"--rules", rule, "--placeholder", "admin-names=carol",
                               "--placeholder", "%Admin_Names%=ann", events});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("1 rules loaded, 0 refused; 1 of them matched; 1 findings"));
  EXPECT_EQ(ErrorReason(Detect({"--rules", rule, "--placeholder", "x", events}).status),
            "INVALID_FIELD");
}

TEST_F(DetectTest, ADamagedFileIsAnErrorAfterTheFindingsBeforeTheDamage) {
  std::string text = std::string(kFlat) + "\n";
  // What compresses badly, so that the cut comes after the first line.
  uint32_t state = 1;
  while (text.size() < 2'000'000) {
    state = state * 1664525U + 1013904223U;
    text += state >> 24U < 8 ? '\n' : static_cast<char>('A' + (state >> 16U) % 50);
  }
  const std::string packed = Packed(text);
  const auto events = File("events.jsonl.zst", packed.substr(0, packed.size() * 3 / 4));
  const auto outcome = Detect({"--rules", rules_, events});
  EXPECT_EQ(ErrorReason(outcome.status), "FILE_DAMAGED");
  EXPECT_THAT(outcome.out, HasSubstr("WHOAMI.exe"));
}

TEST_F(DetectTest, GoesOnBehindADamagedFileAndNamesIt) {
  const std::string packed = Packed(std::string(kOther) + "\n");
  const auto first = File("first.zst", packed.substr(0, packed.size() - 3));
  const auto second = File("second.gz", "\x1f\x8b\x08 no lines");
  const auto last = File("last.jsonl", kFlat);
  const auto outcome =
      Detect({"--rules", rules_, first, second, (folder_ / "none").string(), last});
  EXPECT_EQ(ErrorReason(outcome.status), "FILE_DAMAGED");
  const std::string why(Message(outcome.status));
  EXPECT_THAT(why, HasSubstr("first.zst is not zstd, or damaged"));
  EXPECT_THAT(why, HasSubstr("second.gz is packed with gzip"));
  EXPECT_THAT(why, HasSubstr("cannot read " + (folder_ / "none").string()));
  EXPECT_THAT(why, Not(HasSubstr("last.jsonl")));
  EXPECT_THAT(outcome.out, HasSubstr("WHOAMI.exe"));
  EXPECT_THAT(outcome.err, HasSubstr("1 findings"));
  EXPECT_EQ(ErrorReason(Detect({"--rules", rules_, second}).status), "FILE_UNREADABLE");
}

// What only looks like a line that the suite wrote is a line like others.
TEST_F(DetectTest, ABrokenLineOfAnExportStopsNothing) {
  const std::string broken =
      R"({"id":"1","receive_time":"2026-11-23T00:00:00Z","tenant":"a","raw":"x")";
  const auto outcome =
      Detect({"--rules", rules_, File("events.jsonl", broken + "\n" + std::string(kFlat))});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("1 findings"));
}

TEST_F(DetectTest, RefusedRulesFailWhereThatIsAskedFor) {
  const auto bad = File("bad.yml", "title: No rule\n");
  const auto events = File("events.jsonl", kFlat);
  EXPECT_TRUE(Detect({"--rules", rules_, "--rules", bad, events}).status.ok());
  const auto strict = Detect({"--rules", rules_, "--rules", bad, "--strict", events});
  EXPECT_EQ(ErrorReason(strict.status), "RULES_REFUSED");
  EXPECT_THAT(strict.out, HasSubstr("WHOAMI.exe"));
  EXPECT_TRUE(Detect({"--rules", rules_, "--strict", events}).status.ok());
}

TEST_F(DetectTest, EachRuleOfAFileIsLoaded) {
  std::string second(kRule);
  second.replace(second.find("c001"), 4, "c002");
  const auto rules =
      File("both.yml", std::string(kRule) + "---\n" + second + "---\n" + std::string(kRule));
  const auto outcome = Detect({"--rules", rules, File("events.jsonl", kFlat)});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("2 rules loaded, 1 refused; 2 of them matched; 2 findings"));
  EXPECT_THAT(outcome.err, HasSubstr("has the same id 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001"));
}

class RuleArchives : public DetectTest {
 protected:
  struct Entry {
    std::string name;
    std::string text;
    std::string link = {};  // set: a symbolic link
    bool has_size = true;   // told before its text
  };
  std::string Archive(const std::string& name, const std::vector<Entry>& entries) const {
    const std::string path = (folder_ / name).string();
    archive* out = archive_write_new();
    if (name.ends_with(".zip")) {
      archive_write_set_format_zip(out);
    } else {
      archive_write_set_format_pax_restricted(out);
    }
    if (name.ends_with("gz")) archive_write_add_filter_gzip(out);
    EXPECT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
    for (const auto& one : entries) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, one.name.c_str());
      archive_entry_set_filetype(entry, one.link.empty() ? AE_IFREG : AE_IFLNK);
      if (!one.link.empty()) archive_entry_set_symlink(entry, one.link.c_str());
      archive_entry_set_perm(entry, 0644);
      if (one.has_size) archive_entry_set_size(entry, static_cast<int64_t>(one.text.size()));
      EXPECT_EQ(archive_write_header(out, entry), ARCHIVE_OK);
      archive_write_data(out, one.text.data(), one.text.size());
      archive_entry_free(entry);
    }
    EXPECT_EQ(archive_write_close(out), ARCHIVE_OK);
    archive_write_free(out);
    return path;
  }
  // What is told of each file: its name in the archive, and its text or the reason of an error.
  static std::vector<std::string> Told(const std::string& path, absl::Status* status = nullptr,
                                       int64_t max_bytes = 1 << 30) {
    std::vector<std::string> told;
    const auto read = ForEachRuleFile(
        path,
        [&](const std::string& source, absl::StatusOr<std::string> text) {
          told.push_back(source.substr(source.rfind(':') + 1) + "=" +
                         (text.ok() ? *text : ErrorReason(text.status())));
          return absl::OkStatus();
        },
        max_bytes);
    if (status != nullptr) {
      *status = read;
    } else {
      EXPECT_TRUE(read.ok()) << read;
    }
    return told;
  }
};

TEST_F(RuleArchives, GiveTheRuleFilesWithinAndNothingElse) {
  const std::vector<Entry> entries = {
      {"rules/a.yml", "one", ""},
      {"rules/._a.yml", "of macOS", ""},
      {"README.md", "text", ""},
      {"../../etc/b.yaml", "two", ""},
      {"passwd.yml", "", "/etc/passwd"},
      {"large.yml", std::string(detection::kMaxRuleText + 1, 'x'), ""},
      {"latin.yml", "\xe9", ""},
      {"c.yml", "three", ""}};
  for (const char* name : {"a.tar", "a.tar.gz", "a.TGZ", "a.zip"}) {
    EXPECT_THAT(Told(Archive(name, entries)),
                ElementsAre("rules/a.yml=one", "../../etc/b.yaml=two", "large.yml=FILE_TOO_LARGE",
                            "latin.yml=FILE_NOT_UTF8", "c.yml=three"))
        << name;
  }
}

TEST_F(RuleArchives, AreRefusedWhereDamagedOrEmpty) {
  absl::Status status;
  EXPECT_THAT(Told(File("text.tgz", "no archive"), &status), IsEmpty());
  EXPECT_EQ(ErrorReason(status), "ARCHIVE_UNREADABLE");
  Told(Archive("none.zip", {{"README.md", "text", ""}}), &status);
  EXPECT_EQ(ErrorReason(status), "NO_RULES");
  const auto path = Archive("cut.tar", {{"a.yml", "one", ""}, {"b.yml", "two", ""}});
  std::filesystem::resize_file(path, 512 + 512 + 100);
  EXPECT_THAT(Told(path, &status), ElementsAre("a.yml=one"));
  EXPECT_EQ(ErrorReason(status), "ARCHIVE_UNREADABLE");
}

TEST_F(RuleArchives, AreBoundedWhateverSizesTheyAreSaidToHave) {
  const std::string large(100'000, 'x');
  for (const char* first : {"a.yml", "README.md"}) {
    for (const bool has_size : {true, false}) {
      // Without its directory a .zip is read from the beginning, where no sizes need to be.
      const auto path = Archive("a.zip", {{.name = first, .text = large, .has_size = has_size},
                                          {.name = "b.yml", .text = "two"},
                                          {.name = "c.yml", .text = large, .has_size = has_size}});
      const auto bytes = std::filesystem::file_size(path);
      std::filesystem::resize_file(path, bytes - 100);
      absl::Status status;
      Told(path, &status, 150'000);
      EXPECT_EQ(ErrorReason(status), "ARCHIVE_TOO_LARGE") << first << has_size << status;
      EXPECT_THAT(Told(path, &status, 250'000), ::testing::Contains("b.yml=two"));
      EXPECT_NE(ErrorReason(status), "ARCHIVE_TOO_LARGE") << first << has_size;
    }
  }
  // More than a rule may have is passed over, and counts.
  const std::string huge(3 * detection::kMaxRuleText, 'x');
  const auto path = Archive("b.zip", {{.name = "a.yml", .text = huge, .has_size = false},
                                      {.name = "b.yml", .text = "two"}});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
  absl::Status status;
  EXPECT_THAT(Told(path, &status, 2 * detection::kMaxRuleText), IsEmpty());
  EXPECT_EQ(ErrorReason(status), "ARCHIVE_TOO_LARGE");
}

TEST_F(RuleArchives, AreTakenByDetect) {
  const auto rules = Archive("rules.tgz", {{"sigma/whoami.yml", std::string(kRule), ""}});
  const auto outcome = Detect({"--rules", rules, File("events.jsonl", kFlat)});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("1 rules loaded, 0 refused; 1 of them matched"));
}

TEST_F(DetectTest, SaysWhatIsMissing) {
  const auto events = File("events.jsonl", kFlat);
  EXPECT_EQ(ErrorReason(Detect({"--rules", (folder_ / "none").string(), events}).status),
            "NO_RULES");
  EXPECT_EQ(ErrorReason(Detect({"--rules", rules_, (folder_ / "none").string()}).status),
            "FILE_UNREADABLE");
  EXPECT_THAT(Detect({events}).usage, HasSubstr("--rules"));
  const auto outcome = Detect({"--rules", File("bad/rule.yml", "title: No rule\n"), events});
  EXPECT_EQ(ErrorReason(outcome.status), "NO_RULES");
  EXPECT_THAT(std::string(Message(outcome.status)), HasSubstr("no rule was loaded, 1 refused"));
  EXPECT_THAT(outcome.err, HasSubstr("refused "));
}

class PackedLines : public DetectTest {
 protected:
  std::vector<std::string> Lines(const std::string& file, absl::Status* status = nullptr) const {
    auto source = LineSource::Open({file}, 1);
    EXPECT_TRUE(source.ok()) << source.status();
    std::vector<std::string> lines;
    for (std::string line; source->Next(line);) lines.push_back(line);
    if (status != nullptr) *status = source->status();
    return lines;
  }
};

// Texts around the sizes at which the unpacker's buffers are full.
TEST_F(PackedLines, AreAllThereWhateverTheirSize) {
  for (const size_t size : {1UL, 1000UL, 131'071UL, 131'072UL, 131'073UL, 200'000UL, 262'144UL,
                            262'145UL, 400'000UL, 3'000'000UL}) {
    std::string text;
    while (text.size() < size) text += "line " + std::to_string(text.size()) + "\n";
    text.resize(size);
    absl::Status status;
    const auto lines = Lines(File("a.zst", Packed(text)), &status);
    ASSERT_TRUE(status.ok()) << size << ": " << status;
    size_t bytes = 0;
    for (const auto& line : lines) bytes += line.size() + 1;
    EXPECT_NEAR(static_cast<double>(bytes), static_cast<double>(size), 1.0) << size;
  }
}

TEST_F(PackedLines, MayBeSeveralFrames) {
  EXPECT_THAT(Lines(File("a.zst", Packed("one\ntwo\n") + Packed("three\n"))),
              ElementsAre("one", "two", "three"));
}

TEST_F(PackedLines, AreDataLossWhereCutOrNoZstd) {
  absl::Status status;
  const std::string packed = Packed("one\ntwo\n");
  Lines(File("a.zst", packed.substr(0, packed.size() - 3)), &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(Lines(File("b.zst", "plain text"), &status), IsEmpty());
  EXPECT_EQ(ErrorReason(status), "FILE_DAMAGED");
}

TEST_F(PackedLines, TellTheirSizeWhereTheFrameDoes) {
  EXPECT_EQ(ZstdTextSize(File("a.zst", Packed("one\ntwo\n"))), 8U);
  EXPECT_EQ(ZstdTextSize(File("b.zst", "plain text")), 0U);
}

}  // namespace
}  // namespace yagura::cli
