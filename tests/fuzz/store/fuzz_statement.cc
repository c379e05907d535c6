// Any text as a statement, any bytes as pieces of a result.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/store/statement_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace store = yagura::storeserver;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const store::InsertText insert = store::SplitInsert(text);
  if (text.find(insert.statement) == std::string_view::npos) std::abort();
  if (insert.format.empty() && insert.statement != text) std::abort();
  (void)store::ShapeOf(text, "RowBinary");

  store::HeaderStripper stripper;
  if (stripper.Strip(text) != text) std::abort();
  if (!text.ends_with(stripper.Strip(text))) std::abort();
  return 0;
}
