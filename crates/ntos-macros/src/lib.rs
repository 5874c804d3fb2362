//! `#[service]`: one declaration for a system service.
//!
//! From a plain or `async` function with typed arguments come dispatch, argument decoding, trace names, the table
//! entry and its support level. The attribute adds a module of the function's name that holds a `ServiceDef`; the
//! two live in different namespaces. `service_table!` (in `ntos::svc`) collects them by name, so a service that is
//! left out is an unused item and CI refuses it.

use proc_macro::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, FnArg, Ident, ItemFn, Lit, LitStr, Meta, Pat, Token, parse_macro_input};

/// `#[service]`, `#[service(Partial("what is missing"))]`, `#[service(name = "NtSpelling")]`.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    partial: Option<LitStr>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Options::default();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            if key == "name" {
                input.parse::<Token![=]>()?;
                options.name = Some(input.parse()?);
            } else if key == "Partial" {
                let text;
                syn::parenthesized!(text in input);
                options.partial = Some(text.parse()?);
            } else {
                return Err(syn::Error::new(
                    key.span(),
                    "expected `name = \"…\"` or `Partial(\"…\")`",
                ));
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

/// Declares a system service; see the crate's documentation.
#[proc_macro_attribute]
pub fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(attribute as Options);
    let function = parse_macro_input!(item as ItemFn);
    expand(&options, &function).unwrap_or_else(|e| e.to_compile_error()).into()
}

fn expand(options: &Options, function: &ItemFn) -> syn::Result<proc_macro2::TokenStream> {
    let ident = &function.sig.ident;
    let name = match &options.name {
        Some(name) => name.value(),
        None => camel(&ident.to_string()),
    };
    let mut arguments = function.sig.inputs.iter();
    if arguments.next().is_none() {
        return Err(syn::Error::new_spanned(&function.sig, "a service takes its context first"));
    }
    let (mut bindings, mut types, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for argument in arguments {
        let FnArg::Typed(typed) = argument else {
            return Err(syn::Error::new_spanned(argument, "a service has no receiver"));
        };
        let Pat::Ident(pattern) = typed.pat.as_ref() else {
            return Err(syn::Error::new_spanned(
                &typed.pat,
                "a service's argument is a plain name",
            ));
        };
        labels.push(camel(pattern.ident.to_string().trim_start_matches('_')));
        bindings.push(pattern.ident.clone());
        types.push(typed.ty.as_ref().clone());
    }
    let support = match &options.partial {
        Some(text) => quote!(crate::svc::Support::Partial(#text)),
        None => quote!(crate::svc::Support::Implemented),
    };
    let documentation = documentation(function);
    let decode = quote! {
        let mut cursor = crate::svc::ArgCursor::new(&raw);
        #(let #bindings = <#types as crate::svc::Arg>::decode(&mut cursor);)*
        let _ = &mut cursor;
    };
    let handler = if function.sig.asyncness.is_some() {
        quote! {
            fn call(cx: crate::svc::AsyncCx, raw: crate::svc::RawArgs) -> crate::svc::ServiceFuture {
                Box::pin(async move {
                    #decode
                    abi::status::fold(super::#ident(&cx, #(#bindings),*).await)
                })
            }
            const HANDLER: crate::svc::Handler = crate::svc::Handler::Async(call);
        }
    } else {
        quote! {
            fn call(cx: &mut crate::svc::ServiceCx<'_>, raw: &crate::svc::RawArgs) -> abi::NtStatus {
                #decode
                abi::status::fold(super::#ident(cx, #(#bindings),*))
            }
            const HANDLER: crate::svc::Handler = crate::svc::Handler::Sync(call);
        }
    };
    Ok(quote! {
        #function

        #[doc(hidden)]
        pub(crate) mod #ident {
            #[allow(unused_imports)]
            use super::*;

            #handler

            fn describe(trace: &mut crate::svc::ArgTrace<'_, '_>, raw: &crate::svc::RawArgs) {
                let mut cursor = crate::svc::ArgCursor::new(raw);
                #(
                    let value = <#types as crate::svc::Arg>::decode(&mut cursor);
                    crate::svc::Arg::describe(&value, #labels, trace);
                )*
                let _ = (&mut cursor, trace);
            }

            pub(crate) static DEF: crate::svc::ServiceDef = crate::svc::ServiceDef {
                name: #name,
                arguments: &[#((#labels, stringify!(#types))),*],
                slots: 0 #(+ <#types as crate::svc::Arg>::SLOTS)*,
                support: #support,
                documentation: #documentation,
                source: concat!(file!(), ":", line!()),
                handler: HANDLER,
                describe,
            };
        }
    })
}

/// `nt_create_event` becomes `NtCreateEvent`.
fn camel(snake: &str) -> String {
    snake
        .split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters)
        })
        .collect()
}

fn documentation(function: &ItemFn) -> String {
    let mut lines = Vec::new();
    for attribute in &function.attrs {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(text) = &literal.lit
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join("\n")
}
