#include "tests/unit/services/detection/shared_data.h"

#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "fmt/format.h"

#include "common/status/status.h"
#include "simdjson.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::detection::testing {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

template <typename Folder>
std::vector<std::filesystem::path> FilesOf(const std::filesystem::path& folder,
                                           std::string_view extension) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : Folder(folder)) {
    if (file.path().extension() == extension) files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Makes every text test of the expression another one, as rules of another subject would have.
void Vary(const std::string& suffix, Expression& expression) {
  for (auto& child : expression.children) Vary(suffix, child);
  if (expression.type != Expression::Type::kMatch || expression.matcher.cased()) return;
  std::string text = expression.matcher.text();
  if (text.size() < 6) return;  // event ids and flags stay what they are
  text.insert(text.size() / 2, suffix);
  Pattern pattern;
  for (const char c : text) pattern.push_back(static_cast<uint8_t>(c));
  switch (expression.matcher.kind()) {
    case Matcher::Kind::kEquals:
      expression.matcher = Matcher::Text(pattern, Matcher::Placement::kWhole, false);
      break;
    case Matcher::Kind::kStartsWith:
      expression.matcher = Matcher::Text(pattern, Matcher::Placement::kStart, false);
      break;
    case Matcher::Kind::kEndsWith:
      expression.matcher = Matcher::Text(pattern, Matcher::Placement::kEnd, false);
      break;
    case Matcher::Kind::kContains:
      expression.matcher = Matcher::Text(pattern, Matcher::Placement::kAnywhere, false);
      break;
    default:
      break;
  }
}

std::shared_ptr<const ParsedRule> Copy(const ParsedRule& rule, int number) {
  auto copy = std::make_shared<ParsedRule>(rule);
  for (auto& single : copy->rules) {
    single.info.id += fmt::format("-{}", number);
    Vary(fmt::format("{}", number), single.condition);
  }
  for (auto& correlation : copy->correlations) correlation.info.id += fmt::format("-{}", number);
  return copy;
}

void AddEvent(simdjson::dom::parser& parser, std::string_view line, event::BatchBuilder& builder) {
  simdjson::dom::object object;
  if (parser.parse(line.data(), line.size()).get_object().get(object) != simdjson::SUCCESS) return;
  event::v1::Event event;
  event.set_raw(line.data(), line.size());
  event.set_product("microsoft.windows");
  for (const auto [key, value] : object) {
    auto* field = event.add_fields();
    field->set_name(std::string(key));
    std::string_view text;
    if (value.get_string().get(text) == simdjson::SUCCESS) {
      field->set_value(std::string(text));
    } else {
      field->set_value(simdjson::minify(value));
    }
  }
  builder.Add(event);
}

}  // namespace

std::filesystem::path SharedData() {
  if (const char* data = std::getenv("YAGURA_DATA")) return data;
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  return std::filesystem::path(source != nullptr ? source : ".") / ".." / "shared" / "data";
}

bool HasSharedData() {
  return std::filesystem::exists(SharedData() / "sigma") &&
         std::filesystem::exists(SharedData() / "windows-events");
}

SharedRules LoadSharedRules(int copies) {
  SharedRules loaded;
  std::vector<RuleSet::Entry> entries;
  for (const auto& file :
       FilesOf<std::filesystem::recursive_directory_iterator>(SharedData() / "sigma", ".yml")) {
    ++loaded.files;
    auto parsed = ParseSigma(ReadAll(file));
    if (!parsed.ok()) {
      const std::string message(Message(parsed.status()));
      ++loaded.refused[message.substr(message.starts_with("line ") ? message.find(": ") + 2 : 0)];
      continue;
    }
    for (int i = 1; i < copies; ++i) entries.push_back({"", Copy(*parsed, i)});
    entries.push_back({"", std::make_shared<const ParsedRule>(*std::move(parsed))});
  }
  loaded.set = RuleSet::Build(std::move(entries));
  return loaded;
}

std::vector<std::string> SharedBatches(size_t per_batch, size_t limit) {
  std::vector<std::string> batches;
  simdjson::dom::parser parser;
  for (const auto& file :
       FilesOf<std::filesystem::directory_iterator>(SharedData() / "windows-events", ".zst")) {
    const std::string packed = ReadAll(file);
    std::string text(ZSTD_getFrameContentSize(packed.data(), packed.size()), '\0');
    ZSTD_decompress(text.data(), text.size(), packed.data(), packed.size());
    event::BatchBuilder builder(
        {"acme", event::BatchIdOf({file.filename().string()}), TimePoint()});
    std::istringstream lines(text);
    std::string line;
    for (size_t i = 0; i < limit && std::getline(lines, line); ++i) {
      AddEvent(parser, line, builder);
      if (builder.size() >= per_batch) batches.push_back(builder.Finish());
    }
    if (builder.size() > 0) batches.push_back(builder.Finish());
  }
  return batches;
}

}  // namespace yagura::detection::testing
