// C++ exceptions: through frames, with destructors, rethrown, by type, out of constructors, and after a dynamic_cast.
#include "guest.h"
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct Noisy {
    std::string name;
    explicit Noisy(const char *name) : name(name) { say("construct %s", name); }
    ~Noisy() { say("destroy %s", name.c_str()); }
};

struct Failure : std::runtime_error {
    int code;
    Failure(const char *text, int code) : std::runtime_error(text), code(code) {}
};

__attribute__((noinline)) static void deep(int depth)
{
    Noisy noisy(depth == 2 ? "two" : depth == 1 ? "one" : "zero");
    if (depth == 0)
        throw Failure("from the bottom", 42);
    deep(depth - 1);
}

struct Half {
    Noisy first{"first half"};
    Half() { throw 7; }
    ~Half() { say("never"); }
};

struct Animal { virtual ~Animal() = default; };
struct Cat : virtual Animal { int lives = 9; };
struct Dog : virtual Animal { };

static void rethrow()
{
    try {
        deep(1);
    } catch (const std::exception &error) {
        say("on the way: %s", error.what());
        throw;
    }
}

int main()
{
    try {
        deep(2);
    } catch (const Failure &failure) {
        say("caught %s, code %d", failure.what(), failure.code);
    }
    try {
        rethrow();
    } catch (const std::logic_error &) {
        say("wrong type");
    } catch (const std::runtime_error &error) {
        say("caught again: %s", error.what());
    }
    try {
        Half half;
    } catch (int value) {
        say("caught int %d", value);
    }
    try {
        std::vector<int>(3).at(5) = 1;
    } catch (const std::out_of_range &) {
        say("caught out_of_range");
    }
    std::unique_ptr<Animal> cat = std::make_unique<Cat>();
    say("a cat with %d lives, %s dog", dynamic_cast<Cat &>(*cat).lives,
        dynamic_cast<Dog *>(cat.get()) ? "a" : "no");
    try {
        (void)dynamic_cast<Dog &>(*cat);
    } catch (const std::bad_cast &) {
        say("caught bad_cast");
    }
    int sum = 0;
    for (int i = 0; i < 1000; i++) {
        try {
            if (i % 3 == 0)
                throw i;
            sum += 1;
        } catch (int value) {
            sum += value;
        }
    }
    say("sum %d", sum);
    std::exception_ptr kept;
    try {
        throw Failure("kept", 1);
    } catch (...) {
        kept = std::current_exception();
    }
    try {
        std::rethrow_exception(kept);
    } catch (const Failure &failure) {
        say("rethrown %s", failure.what());
    }
    return 3;
}
