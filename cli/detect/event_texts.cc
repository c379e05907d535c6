#include "cli/detect/event_texts.h"

#include <utility>

#include "common/text/text.h"
#include "simdjson.h"

namespace yagura::cli {
namespace {

constexpr size_t kMaxLine = LineSource::kMaxLine;
constexpr size_t kMaxObject = 16 << 20;  // a text that is longer is no event

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// How many brackets are open after the text; -1 where something follows the last that closed.
int OpenAfter(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  bool over = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (over && !IsSpace(c)) return -1;
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      over = --depth == 0;
    }
  }
  return depth;
}

}  // namespace

// Whether a file with this first line is a text of JSON.
bool EventTexts::BeginsJson(std::string_view line) const {
  const std::string_view text = Trim(line);
  if (text.empty()) return false;
  if (text.front() == '{') return OpenAfter(text) > 0;
  if (text.front() != '[') return false;
  const std::string_view rest = Trim(text.substr(1));
  return rest.empty() || rest.front() == '{' || (rest.front() == ']' && rest.size() == 1);
}

bool EventTexts::ReadLine(size_t& bytes) {
  if (!lines_.Next(line_, LineSource::kAnyLength)) return false;
  bytes += line_.size() + 1;
  return true;
}

// The object is whole: false where it is no JSON.
bool EventTexts::EndObject() {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(object_).get(object) != simdjson::SUCCESS) return false;
  std::string text(object_.size(), '\0');
  size_t size = 0;
  if (simdjson::minify(object_.data(), object_.size(), text.data(), size) != simdjson::SUCCESS) {
    return false;
  }
  text.resize(size);
  ready_.push_back(std::move(text));
  object_.clear();
  begun_.clear();
  return true;
}

void EventTexts::GiveUpJson() {
  for (auto& line : begun_) {
    if (line.size() > kMaxLine) line.resize(kMaxLine);
    ready_.push_back(std::move(line));
  }
  begun_.clear();
  object_.clear();
  is_json_ = false;
}

void EventTexts::TakeJson(std::string_view line) {
  begun_.emplace_back(line);
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (place_.depth == 0) {
      // Between objects.
      if (IsSpace(c) || c == ',') continue;
      if (c == '[' && !place_.in_array) {
        place_.in_array = true;
        continue;
      }
      if (c == ']' && place_.in_array) {
        place_.in_array = false;
        continue;
      }
      if (c != '{') return GiveUpJson();
    }
    object_ += c;
    if (place_.in_string) {
      if (!std::exchange(place_.escaped, false)) {
        place_.escaped = c == '\\';
        place_.in_string = c != '"';
      }
    } else if (c == '"') {
      place_.in_string = true;
    } else if (c == '{' || c == '[') {
      ++place_.depth;
    } else if ((c == '}' || c == ']') && --place_.depth == 0) {
      if (!EndObject()) return GiveUpJson();
      // Should what follows be none: it alone is given as it is.
      begun_.emplace_back(line.substr(i + 1));
    }
  }
  if (object_.size() > kMaxObject) return GiveUpJson();
  if (place_.depth == 0) {
    begun_.clear();
  } else {
    object_ += '\n';
  }
}

bool EventTexts::Next(std::string& text, size_t& bytes) {
  bytes = 0;
  while (ready_.empty()) {
    if (!has_line_ && !ReadLine(bytes)) {
      if (begun_.empty()) return false;
      GiveUpJson();
      continue;
    }
    if (lines_.opened() != file_) {
      has_line_ = !begun_.empty();
      if (has_line_) {
        GiveUpJson();  // what the file before ended with
        continue;
      }
      file_ = lines_.opened();
      if (line_.starts_with("\xEF\xBB\xBF")) line_.erase(0, 3);  // a byte order mark
      place_ = {};
      is_json_ = BeginsJson(line_);
    }
    has_line_ = false;
    if (is_json_) {
      TakeJson(line_);
      continue;
    }
    if (line_.size() > kMaxLine) line_.resize(kMaxLine);
    text.swap(line_);
    return true;
  }
  text = std::move(ready_.front());
  ready_.pop_front();
  return true;
}

}  // namespace yagura::cli
